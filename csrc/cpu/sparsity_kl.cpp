// sparsity_kl on the CPU: sum over units of KL(rho || rho_hat_j), rho_hat_j the batch mean of code column j.
//
// Fused: the sums of h and of 1 - h in one pass, then the penalty; backward computes the one row that all rows
// of the gradient share. Terms enter the sums already divided by the batch size, so no finite code overflows.
// Contract: at least one row; finite for every finite code; the same bits for any thread count.
#include <vector>

#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "../checks.h"
#include "../dispatch.h"
#include "../code_penalty.h"
#include "multiversion.h"
#include "parallel.h"

namespace stackae::cpu {
namespace {

using at::Tensor;

template <typename scalar_t, typename opmath_t>
STACKAE_INLINE void mean_row(const scalar_t* __restrict h, opmath_t* __restrict on, opmath_t* __restrict off,
                             opmath_t share, int64_t width) {
  for (int64_t j = 0; j < width; ++j)
    accumulate_mean(static_cast<opmath_t>(h[j]), /*centred=*/false, share, on[j], off[j]);
}

template <typename scalar_t, typename opmath_t>
STACKAE_INLINE void mean_tile(const scalar_t* h, opmath_t* sums, opmath_t* complements, opmath_t share, int64_t columns,
                              const Tile& tile) {
  opmath_t on[tile_columns] = {}, off[tile_columns] = {};
  const int64_t width = tile.column_end - tile.column_begin;
  for (int64_t i = tile.row_begin; i < tile.row_end; ++i)
    mean_row(h + i * columns + tile.column_begin, on, off, share, width);
  const int64_t offset = tile.row_block * columns + tile.column_begin;
  std::copy_n(on, width, sums + offset);
  std::copy_n(off, width, complements + offset);
}

#define STACKAE_DEFINE_TILE(scalar_t)                                                                          \
  void mean_kernel(const scalar_t* h, at::opmath_type<scalar_t>* sums, at::opmath_type<scalar_t>* complements, \
                   at::opmath_type<scalar_t> share, int64_t columns, const Tile& tile) {                       \
    return STACKAE_AT_LEVEL(mean_tile(h, sums, complements, share, columns, tile));                            \
  }

STACKAE_DEFINE_TILE(float)
STACKAE_DEFINE_TILE(double)
STACKAE_DEFINE_TILE(c10::BFloat16)
#undef STACKAE_DEFINE_TILE

// means (2, n_hidden), float64: rho_hat, then 1 - rho_hat accumulated on its own.
template <typename scalar_t>
void column_means(const Tensor& h, double* means) {
  using opmath_t = at::opmath_type<scalar_t>;
  const int64_t rows = h.size(0), columns = h.size(1), blocks = row_blocks(rows);
  std::vector<opmath_t> sums(blocks * columns), complements(blocks * columns);
  const auto* const data = h.const_data_ptr<scalar_t>();
  for_each_tile<OpThreads>(rows, columns, 1, [&](const Tile& tile) {
    mean_kernel(data, sums.data(), complements.data(), opmath_t(1) / static_cast<opmath_t>(rows), columns, tile);
  });
  for (int64_t j = 0; j < columns; ++j) {
    means[j] = means[columns + j] = 0;
    for (int64_t block = 0; block < blocks; ++block) {
      means[j] += sums[block * columns + j];
      means[columns + j] += complements[block * columns + j];
    }
  }
}

std::tuple<Tensor, Tensor> sparsity_kl_forward_cpu(const Tensor& h, double rho) {
  check_sparsity(h, rho);
  const int64_t columns = h.size(1);
  const Tensor codes = h.contiguous();
  Tensor means = at::empty({2, columns}, h.options().dtype(at::kDouble));
  auto* const mean = means.mutable_data_ptr<double>();
  with_scalar_type(h.scalar_type(), [&](auto zero) { column_means<decltype(zero)>(codes, mean); });
  double penalty = 0;
  for (int64_t j = 0; j < columns; ++j) penalty += kl_value(rho, mean[j], mean[columns + j]);
  Tensor result = at::empty({}, h.options().dtype(h.scalar_type() == at::kDouble ? at::kDouble : at::kFloat));
  result.fill_(penalty);
  return {result, means};
}

Tensor sparsity_kl_backward_cpu(const Tensor& grad_penalty, const Tensor& h, const Tensor& means, double rho) {
  check_sparsity(h, rho);
  const int64_t columns = h.size(1);
  const double scale = grad_penalty.item<double>() / static_cast<double>(h.size(0));
  const auto* const mean = means.const_data_ptr<double>();
  Tensor row = at::empty({columns}, h.options());
  with_scalar_type(h.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    auto* const out = row.mutable_data_ptr<scalar_t>();
    for (int64_t j = 0; j < columns; ++j)
      out[j] = to_finite<scalar_t>(scale * kl_derivative(rho, mean[j], mean[columns + j]));
  });
  return row;
}

}  // namespace

TORCH_LIBRARY_IMPL(stackae, CPU, m) {
  m.impl("sparsity_kl_forward", sparsity_kl_forward_cpu);
  m.impl("sparsity_kl_backward", sparsity_kl_backward_cpu);
}

}  // namespace stackae::cpu
