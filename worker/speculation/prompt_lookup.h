// Prompt lookup: guesses how a sequence goes on from how it went on before. Answers repeat their
// prompts (names, code, quotations) and themselves; such a guess costs no second model.
// A pure function of the ids; loop thread.
#pragma once

#include <cstdint>
#include <span>

namespace bitnetd::worker {

// The last kRepeatedMin ids must have occurred before for a guess to be made. A single id is no
// sign of a repetition, and more than kRepeatedMax of them are no better sign.
inline constexpr uint32_t kRepeatedMin = 2;
inline constexpr uint32_t kRepeatedMax = 8;
// How far back we look. One lookup then takes some ten microseconds at most.
inline constexpr uint32_t kLookupWindow = 32'768;

// memory[0 .. id_count) is the sequence. Finds the earlier occurrence of its end that agrees with
// it for longest (of equally long ones the latest), and writes the `wanted` ids that followed there
// to memory[id_count ..). Where they run past the sequence's end they go on with what was just
// written: a loop is guessed for as long as wanted. Returns how many were written: `wanted`, or 0
// when the end has not occurred before. Needs id_count + wanted <= memory.size().
uint32_t guess_by_lookup(std::span<uint32_t> memory, uint32_t id_count, uint32_t wanted) noexcept;

}  // namespace bitnetd::worker
