// Goal: how fast text becomes token ids on one core, and that no text is disproportionately slow.
// Method: the process confines itself as the frontend does (so nothing is compiled just in time
//       that could not be there), then encodes with every vocabulary it was given: ordinary texts,
//       as megabytes per second of its own thread's time, the best of several runs; and hostile
//       texts in four sizes, each double the last, as nanoseconds per byte: a figure that doubles
//       with the size is quadratic. Nothing asserts a time. bench_text [FOLDER|FILE.gguf]...
//       default: the golden vocabularies
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "common/confine/confine.h"
#include "common/gguf/gguf_reader.h"
#include "common/text/tokenizer.h"
#include "common/text/utf8.h"
#include "tests/support/golden.h"
#include "worker/prepare/vocabulary_from_gguf.h"

namespace {

using namespace bitnetd;
using Path = std::filesystem::path;

constexpr size_t kOrdinaryBytesMax = 4u << 20;
constexpr size_t kHostileBytesMax = 1u << 20;
constexpr int kSizes = 4;  // kHostileBytesMax and its halves

struct Vocabulary {
    std::string name;
    std::vector<std::byte> image;
};
struct Text {
    std::string name;
    std::string bytes;
};

std::string read_text(const Path& path) {
    const auto bytes = tests::read_bytes(path);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The files of `folder` with one of the endings, one after the other, by name.
std::string concatenate(const Path& folder, std::initializer_list<std::string_view> endings) {
    std::vector<Path> files;
    if (!is_directory(folder)) return {};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        const std::string extension = entry.path().extension();
        if (!entry.is_regular_file() || entry.is_symlink()) continue;
        if (std::find(endings.begin(), endings.end(), extension) != endings.end())
            files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::string text;
    for (const Path& file : files) {
        if (text.size() < kOrdinaryBytesMax) text += read_text(file);
    }
    return text.substr(0, kOrdinaryBytesMax);
}

// Words of random letters of several scripts, no two alike: nothing to remember.
std::string many_scripts() {
    constexpr std::pair<uint32_t, uint32_t> kScripts[] = {
        {'a', 26}, {0x3B1, 25}, {0x430, 32}, {0x5D0, 27}, {0x4E00, 8000}, {0xAC00, 11172}};
    std::mt19937 random(1);
    std::string text;
    while (text.size() < kHostileBytesMax) {
        const auto& [first, count] = kScripts[random() % std::size(kScripts)];
        text += ' ';
        for (uint32_t i = 0; i < 1 + random() % 9; ++i)
            text::append_utf8(text, first + random() % count);
    }
    return text;
}

std::vector<Text> ordinary_texts() {
    const Path root = BITNETD_SOURCE_DIR;
    std::vector<Text> texts;
    // Debian's licence texts: English prose that is there on every machine.
    texts.push_back({"prose", concatenate("/usr/share/common-licenses", {""})});
    texts.push_back({"source code", ""});
    for (const char* folder : {"common", "shm", "supervisor", "worker"})
        texts.back().bytes += concatenate(root / folder, {".cc", ".h", ".md"});
    texts.push_back({"many scripts", many_scripts()});
    return texts;
}

std::string repeat(std::string_view unit) {
    std::string text;
    while (text.size() + unit.size() <= kHostileBytesMax)
        text += unit;
    return text;
}

std::vector<Text> hostile_texts() {
    std::mt19937 random(2);
    std::string letters, thirds;
    while (letters.size() < kHostileBytesMax)
        letters += static_cast<char>('a' + random() % 26);
    for (size_t i = 0; i < kHostileBytesMax; ++i)
        thirds += "ab "[i % 3];
    return {
        {"random letters, one word", letters},
        {"a", repeat("a")},
        {"space", repeat(" ")},
        {"spaces, then letters", repeat(" ").substr(1) + "a"},
        {"digits", repeat("7")},
        {"newlines", repeat("\n")},
        {"space, newline", repeat(" \n")},
        {"emoji", repeat("\U0001F642")},
        {"one CJK character", repeat("\u6771")},
        {"combining marks", repeat("\u0301\u0316")},
        {"punctuation", repeat("!")},
        {"apostrophes", repeat("'")},
        {"angle brackets", repeat("<|")},
        {"U+2581", repeat("\u2581")},
        {"ab", thirds},
    };
}

size_t encode(const text::Tokenizer& tokenizer, std::string_view text) {
    const auto ids = tokenizer.encode(text, {.add_special = true, .parse_special = true});
    if (!ids.ok()) {
        std::printf("  cannot be encoded: %s\n", ids.error().message.c_str());
        return 0;
    }
    return ids->size();
}

// Time this thread was given: what a core does, whatever else the machine is doing.
uint64_t core_ns() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t best_ns(const text::Tokenizer& tokenizer, std::string_view text, int runs) {
    uint64_t best = ~uint64_t{0};
    for (int run = 0; run < runs; ++run) {
        const uint64_t start = core_ns();
        encode(tokenizer, text);
        best = std::min(best, core_ns() - start);
    }
    return best;
}

void measure(const Vocabulary& vocabulary, const std::vector<Text>& ordinary,
             const std::vector<Text>& hostile) {
    const auto view = text::VocabularyView::open(vocabulary.image);
    if (!view.ok()) throw std::runtime_error(view.error().message);
    const auto tokenizer = text::Tokenizer::create(*view);
    if (!tokenizer.ok()) throw std::runtime_error(tokenizer.error().message);
    std::printf("\n%s: %u tokens, pre-tokenizer \"%s\"\n", vocabulary.name.c_str(),
                view->token_count(), std::string(view->pre_tokenizer()).c_str());
    std::printf("  %-26s %9s %9s %9s\n", "ordinary text", "MB", "MB/s", "B/token");
    for (const Text& text : ordinary) {
        if (text.bytes.empty()) continue;
        const auto bytes = static_cast<double>(text.bytes.size());
        const auto ns = static_cast<double>(best_ns(*tokenizer, text.bytes, 5));
        const auto tokens = static_cast<double>(encode(*tokenizer, text.bytes));
        std::printf("  %-26s %9.2f %9.1f %9.2f\n", text.name.c_str(), bytes / 1e6, bytes / ns * 1e3,
                    bytes / tokens);
    }
    std::printf("  %-26s", "hostile text, ns/byte of");
    for (int size = kSizes - 1; size >= 0; --size)
        std::printf(" %5zu KiB", (kHostileBytesMax >> size) / 1024);
    std::printf("\n");
    for (const Text& text : hostile) {
        std::printf("  %-26s", text.name.c_str());
        for (int size = kSizes - 1; size >= 0; --size) {
            // The end of the text: some are only odd there.
            const std::string_view part =
                std::string_view(text.bytes)
                    .substr(text.bytes.size() - (text.bytes.size() >> size));
            const auto ns = static_cast<double>(best_ns(*tokenizer, part, 2));
            std::printf(" %9.1f", ns / static_cast<double>(part.size()));
        }
        std::printf("\n");
    }
}

void read_vocabularies(const Path& path, std::vector<Vocabulary>& out) {
    if (is_directory(path)) {
        std::vector<Path> files;
        for (const auto& entry : std::filesystem::directory_iterator(path)) {
            if (entry.path().extension() == ".gguf") files.push_back(entry.path());
        }
        std::sort(files.begin(), files.end());
        for (const Path& file : files)
            read_vocabularies(file, out);
        return;
    }
    const auto bytes = tests::read_bytes(path);
    MemorySource source(bytes);
    const auto file = gguf::read(source);
    if (!file.ok()) throw std::runtime_error(path.string() + ": " + file.error().message);
    auto image = worker::vocabulary_from_gguf(file->metadata);
    if (!image.ok()) throw std::runtime_error(path.string() + ": " + image.error().message);
    out.push_back({path.stem(), std::move(image).value()});
}

void run(int argc, char** argv) {
    std::vector<Vocabulary> vocabularies;
    for (int i = 1; i < argc; ++i)
        read_vocabularies(argv[i], vocabularies);
    if (argc == 1) {
        const Path large = tests::large_golden_path("tokenizers/vocab");
        const bool have_large = is_directory(large);
        read_vocabularies(have_large ? large : tests::golden_path("tokenizers/vocab"),
                          vocabularies);
    }
    const auto ordinary = ordinary_texts();
    const auto hostile = hostile_texts();
    const auto confined = confine(Profile::kFrontend);
    if (!confined.ok()) throw std::runtime_error(confined.error().message);
    for (const Vocabulary& vocabulary : vocabularies)
        measure(vocabulary, ordinary, hostile);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_text: %s\n", error.what());
        return 1;
    }
}
