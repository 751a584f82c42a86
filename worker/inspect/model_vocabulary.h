// The vocabulary of a model in this process's own memory, as a frontend would map it.
#pragma once

#include <cstddef>
#include <vector>

#include "common/text/vocabulary_image.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

class ModelVocabulary {
  public:
    static Result<ModelVocabulary> read(const ModelInput& input);

    // Valid as long as this; moving it keeps the image where it is.
    const text::VocabularyView& view() const { return view_; }

  private:
    ModelVocabulary(std::vector<std::byte> image, const text::VocabularyView& view)
        : image_(std::move(image)), view_(view) {}

    std::vector<std::byte> image_;
    text::VocabularyView view_;
};

}  // namespace bitnetd::worker
