// A Hugging Face directory in memory, made by hand: a small llama that tests start from and change.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "worker/prepare/hf_input.h"

namespace bitnetd::worker::test {

struct HfStored {
    std::string dtype;  // "F32", "F16", "BF16", "U8"
    std::vector<uint64_t> shape;
    std::vector<std::byte> data;
};
// Values 1/8 apart, so that 16-bit floats hold them exactly.
HfStored hf_floats(const std::string& dtype, const std::vector<uint64_t>& shape,
                   const std::vector<float>& values);
HfStored hf_bytes(const std::vector<uint64_t>& shape, const std::vector<uint8_t>& values);

class HfCheckpoint {
  public:
    static constexpr uint64_t kHidden = 16;
    static constexpr uint64_t kFfn = 24;
    static constexpr uint64_t kHeads = 4;
    static constexpr uint64_t kKvHeads = 2;
    static constexpr uint64_t kHeadDim = 4;
    static constexpr uint64_t kVocab = 300;

    // One layer of `architecture`, all tensors F32 with values drawn from `seed`.
    explicit HfCheckpoint(const std::string& architecture = "LlamaForCausalLM", uint64_t seed = 1);

    nlohmann::json config;
    nlohmann::json tokenizer;                  // tokenizer.json
    std::map<std::string, HfStored> tensors;   // of model.safetensors
    std::map<std::string, std::string> texts;  // further files by name

    std::vector<NamedSource> files() const;
    Result<std::unique_ptr<ModelInput>> open() const { return open_hf(files(), {}); }
    std::string error() const;  // of open(), "" when it succeeds

    // The layer's weight as stored, [rows][columns].
    std::vector<float> values(const std::string& name) const;
    void add(const std::string& name, const std::vector<uint64_t>& shape);

  private:
    void add_layer(const std::string& architecture);

    uint64_t state_;
};

// A safetensors file of `tensors`.
std::string safetensors_file(const std::map<std::string, HfStored>& tensors);
NamedSource named(const std::string& name, const std::string& content);

// What an opened input gives.
const ModelTensor& tensor_of(const ModelInput& input, const std::string& name);
std::vector<float> floats_of(ModelInput& input, const std::string& name);
struct Ternary {
    std::vector<int8_t> digits;
    float scale = 0;
};
Ternary ternary_of(ModelInput& input, const std::string& name);

}  // namespace bitnetd::worker::test
