// A libnvidia-ml.so of a machine with one GPU at "0000:41:00.0", which does not tell its power.
#include <cstring>

extern "C" {

struct FakeMemory {
    unsigned long long total, free, used;
};
struct FakeUtilisation {
    unsigned gpu, memory;
};

int nvmlInit_v2() {
    return 0;
}
int nvmlShutdown() {
    return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* pci_id, void** device) {
    static int gpu;
    *device = &gpu;
    return std::strcmp(pci_id, "0000:41:00.0") == 0 ? 0 : 6;
}
int nvmlDeviceGetMemoryInfo(void*, FakeMemory* memory) {
    *memory = {80'000, 50'000, 30'000};
    return 0;
}
int nvmlDeviceGetTemperature(void*, int sensor, unsigned* celsius) {
    *celsius = 63;
    return sensor == 0 ? 0 : 2;
}
int nvmlDeviceGetPowerUsage(void*, unsigned*) {
    return 3;  // not supported
}
int nvmlDeviceGetClockInfo(void*, int which, unsigned* megahertz) {
    *megahertz = which == 1 ? 1980 : 2619;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void*, FakeUtilisation* rates) {
    *rates = {97, 40};
    return 0;
}

}  // extern "C"
