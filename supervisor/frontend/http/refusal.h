// Why http/ refuses a request by itself: one table of everything it can say.
//
// `closes` is set where the connection cannot be used on: the end of the request is unknown, or its
// sender is not to be trusted with the next one. `code` goes into the error body.
#pragma once

#include <string_view>

namespace bitnetd::frontend::http {

struct Refusal {
    int status;
    std::string_view code;
    std::string_view message;
    bool closes = true;
};

namespace refusals {

inline constexpr std::string_view kMalformed = "malformed_request";

// Lines and characters.
inline constexpr Refusal kBareLf{400, kMalformed, "a line ends in LF without CR"};
inline constexpr Refusal kBareCr{400, kMalformed, "CR without LF"};
inline constexpr Refusal kControlCharacter{400, kMalformed, "control character in the head"};
inline constexpr Refusal kFoldedLine{400, kMalformed, "folded header line"};
inline constexpr Refusal kStartLine{400, kMalformed,
                                    "the start line is not 'METHOD target HTTP/1.1'"};
inline constexpr Refusal kTarget{400, kMalformed, "invalid request target"};
inline constexpr Refusal kFieldWithoutColon{400, kMalformed, "header line without a colon"};
inline constexpr Refusal kFieldName{400, kMalformed, "invalid character in a header name"};
inline constexpr Refusal kSpaceBeforeColon{400, kMalformed, "blank before the colon of a header"};
inline constexpr Refusal kEmptyFieldName{400, kMalformed, "empty header name"};

// Fields that say where a request ends or whom it is for.
inline constexpr Refusal kHostMissing{400, kMalformed, "the Host header is missing"};
inline constexpr Refusal kHostRepeated{400, kMalformed, "more than one Host header"};
inline constexpr Refusal kHostInvalid{400, kMalformed, "invalid Host header"};
inline constexpr Refusal kHostDiffers{400, kMalformed, "Host is not the authority of the target"};
inline constexpr Refusal kLengthRepeated{400, kMalformed, "more than one Content-Length header"};
inline constexpr Refusal kLengthInvalid{400, kMalformed, "Content-Length is not a number"};
inline constexpr Refusal kCodingRepeated{400, kMalformed, "more than one Transfer-Encoding header"};
inline constexpr Refusal kCodingEmpty{400, kMalformed, "empty Transfer-Encoding header"};
inline constexpr Refusal kCodingAndLength{400, kMalformed,
                                          "both Content-Length and Transfer-Encoding"};
inline constexpr Refusal kCodingInHttp10{400, kMalformed, "Transfer-Encoding in HTTP/1.0"};
inline constexpr Refusal kParsersDisagree{400, kMalformed, "the head is ambiguous"};

// Chunked bodies.
inline constexpr Refusal kChunkSize{400, kMalformed, "invalid chunk size line"};
inline constexpr Refusal kChunkExtension{400, kMalformed, "invalid or too long chunk extension"};
inline constexpr Refusal kChunkEnd{400, kMalformed, "chunk data is not followed by CRLF"};
inline constexpr Refusal kTrailerField{400, kMalformed, "framing header among the trailers"};

// Limits and deadlines.
inline constexpr Refusal kHeadTimeout{408, "request_timeout",
                                      "the head of the request took too long"};
inline constexpr Refusal kBodyTimeout{408, "request_timeout",
                                      "the body of the request stopped coming"};
inline constexpr Refusal kBodyTooLarge{413, "request_too_large", "the body is larger than allowed"};
inline constexpr Refusal kStartLineTooLong{414, "uri_too_long",
                                           "the start line is longer than allowed"};
inline constexpr Refusal kHeadTooLarge{431, "headers_too_large",
                                       "the headers are larger than allowed"};
inline constexpr Refusal kTooManyFields{431, "headers_too_large", "more headers than allowed"};
inline constexpr Refusal kMemoryExhausted{503, "memory_exhausted",
                                          "the server holds too many request bodies"};

// Well-formed, but not something this server does.
inline constexpr Refusal kLengthRequired{
    411, "length_required", "POST needs Content-Length or Transfer-Encoding: chunked", false};
inline constexpr Refusal kExpectation{417, "expectation_failed",
                                      "only 'Expect: 100-continue' is known"};
inline constexpr Refusal kMethod{501, "method_not_implemented", "unknown request method"};
inline constexpr Refusal kCoding{501, "transfer_coding_not_implemented",
                                 "only 'Transfer-Encoding: chunked' is supported"};
inline constexpr Refusal kVersion{505, "http_version_not_supported", "only HTTP/1.1 and HTTP/1.0"};

}  // namespace refusals
}  // namespace bitnetd::frontend::http
