#include "supervisor/frontend/api/text_stream.h"

namespace bitnetd::frontend {

TextStream::TextStream(const text::VocabularyView& vocabulary,
                       const std::vector<std::string>& stops, bool keeps_scores)
    : detokenizer_(vocabulary),
      stops_(stops),
      has_stops_(!stops.empty()),
      keeps_scores_(keeps_scores) {}

bool TextStream::push(uint32_t id, float logprob, std::span<const shm::Alternative> alternatives,
                      std::string& out) {
    piece_.clear();
    detokenizer_.push(id, piece_);
    const size_t begin_bytes = seen_bytes_;
    seen_bytes_ += piece_.size();
    if (keeps_scores_) {
        held_.push_back({{id, logprob, piece_, {alternatives.begin(), alternatives.end()}},
                         begin_bytes,
                         seen_bytes_});
    }
    const size_t out_bytes = out.size();
    bool stopped = false;
    if (has_stops_) {
        stopped = stops_.push(piece_, out);
    } else {
        out += piece_;
    }
    released_bytes_ += out.size() - out_bytes;
    if (keeps_scores_) {
        // What begins behind the cut belongs to the stop string; what begins before it is text.
        while (stopped && !held_.empty() && held_.back().begin_bytes >= released_bytes_) {
            held_.pop_back();
        }
        if (stopped) seen_bytes_ = released_bytes_;
        for (Held& held : held_) {
            if (stopped && held.end_bytes > released_bytes_) held.end_bytes = released_bytes_;
        }
        release_scores();
    }
    return stopped;
}

void TextStream::finish(std::string& out) {
    piece_.clear();
    detokenizer_.flush(piece_);
    bool stopped = false;
    if (has_stops_) {
        stopped = stops_.push(piece_, out);
        if (!stopped) stops_.flush(out);
    } else {
        out += piece_;
    }
    released_bytes_ = seen_bytes_ += piece_.size();
    release_scores();
}

void TextStream::release_scores() {
    while (!held_.empty() && held_.front().end_bytes <= released_bytes_) {
        released_.push_back(std::move(held_.front().token));
        held_.pop_front();
    }
}

std::vector<ScoredToken> TextStream::take_scores() {
    return std::exchange(released_, {});
}

}  // namespace bitnetd::frontend
