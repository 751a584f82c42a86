// What all products of matrices share: up to three of them in one launch, and what becomes of a
// sum. Block z of a launch takes product z; blocks beyond its rows leave at once.
#pragma once

#include <span>

#include "worker/kernels/cuda/device_ops.cuh"
#include "worker/kernels/cuda/numbers.cuh"

namespace bitnetd::kernels::cuda {
namespace {

struct Products {
    Product of[kProductsMax];
};

// Block z's, where the launch put it: `products` is BITNETD_IN_PLACE.
BITNETD_DEVICE const Product& product_of(const Products& products) {
    return products.of[block_z()];
}

// A sum gets its bias; then it is capped (SoftCap; 0: not), then stored or added to y.
struct Finish {
    Store store;
    float cap;
};

// The sum of row i of the inputs and row j of the matrix.
BITNETD_DEVICE void finish(const Product& product, const Finish& how, int64_t i, int64_t j,
                           float sum) {
    if (product.w.bias != nullptr) sum += product.w.bias[j];
    if (how.cap != 0.0f) sum = soft_cap(sum, how.cap);
    float* const y = product.y + i * product.w.rows + j;
    *y = how.store == Store::kAdd ? *y + sum : sum;
}

Products copy_of(std::span<const Product> products) {
    Products copy{};
    for (size_t i = 0; i < products.size(); ++i)
        copy.of[i] = products[i];
    return copy;
}

// `each` rows of the matrices per block, `rows_each` rows of the inputs.
Grid product_grid(std::span<const Product> products, int32_t each, int32_t m, int32_t rows_each) {
    int32_t rows = 0;
    for (const Product& product : products)
        rows = product.w.rows > rows ? product.w.rows : rows;
    return {static_cast<uint32_t>(divided_up(rows, each)),
            static_cast<uint32_t>(divided_up(m, rows_each)),
            static_cast<uint32_t>(products.size())};
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
