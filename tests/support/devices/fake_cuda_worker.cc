// A stand-in for bitnetd-worker-cuda on machines without a GPU: the CPU worker beside it, told that
// its device is a CPU's, while everybody else takes it for a GPU's. It fails on command: while
// there is a file "device-lost" beside it, it ends as a worker whose GPU is gone.
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <string>
#include <vector>

#include "common/config/exit_codes.h"

int main(int argc, char** argv) {
    char path[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    if (length <= 0) return bitnetd::kExitInternal;
    const std::string self(path, static_cast<size_t>(length));
    const std::string folder = self.substr(0, self.rfind('/'));
    if (access((folder + "/device-lost").c_str(), F_OK) == 0) {
        std::fputs("fake device: lost\n", stderr);
        return bitnetd::kExitDeviceLost;
    }
    const std::string program = folder + "/bitnetd-worker";
    std::vector<std::string> args(argv, argv + argc);
    for (std::string& arg : args) {
        if (arg.rfind("cuda:", 0) == 0) arg = "cpu:0";
    }
    std::vector<char*> pointers;
    for (std::string& arg : args)
        pointers.push_back(arg.data());
    pointers.push_back(nullptr);
    execv(program.c_str(), pointers.data());
    std::perror(program.c_str());
    return bitnetd::kExitInternal;
}
