#include "worker/inspect/model_vocabulary.h"

#include "worker/prepare/vocabulary_from_gguf.h"

namespace bitnetd::worker {

Result<ModelVocabulary> ModelVocabulary::read(const ModelInput& input) {
    BITNETD_ASSIGN(std::vector<std::byte> image, vocabulary_from_gguf(input.metadata()));
    BITNETD_ASSIGN(const auto view, text::VocabularyView::open(image));
    return ModelVocabulary(std::move(image), view);
}

}  // namespace bitnetd::worker
