// An embedding as a client reads it: cut to its dimensions, of length 1, as JSON. Pure functions;
// any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bitnetd::frontend {

// Keeps the first `dimensions` values (at most what there is) and scales them to length 1; zeros
// stay zeros. False: some value was not finite.
bool shape_embedding(std::vector<float>& values, uint32_t dimensions);

// An array of numbers, each the shortest that reads back as the same float.
void append_float_array(std::string& out, std::span<const float> values);

// A string: base64 of the values as little-endian floats.
void append_base64(std::string& out, std::span<const float> values);

}  // namespace bitnetd::frontend
