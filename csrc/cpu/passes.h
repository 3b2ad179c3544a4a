// The passes of a training step over one tile, each compiled for several CPU levels (passes_*.cpp).
//
// T is the type of the arithmetic, O that of the matmul operands: T itself, or bfloat16 where T is float32.
// A tile of results lies in `c` with row stride `ld`, which is the operand's own place (`rows`) where T is O, and
// scratch elsewhere; c, the bias and every row of an operand may be read and written up to the next multiple of 16
// columns.
#pragma once

#include <cstdint>

#include <c10/util/BFloat16.h>

#include "../update.h"
#include "batch.h"
#include "parallel.h"

namespace stackae::cpu {

// A code's penalties (code_penalty.h), unit by unit: accumulated sums, by row blocks, and gradient terms. Null: no such
// penalty; but without slopes they are zeros.
template <typename T>
struct CodeTerms {
  T *means = nullptr, *complements = nullptr, *steepness = nullptr;
  T *slopes = nullptr, *terms = nullptr, *weight_terms = nullptr;
  T share = 0;  // 1 / rows
  EntryPenalty<T> entry;
  bool centred = false;
};

#define STACKAE_DECLARE_PASSES(T, O)                                                                               \
  /* Rows [begin, end) of the batch, corrupted, as rows and, where it is given, as right factor; begin is even. */ \
  void gather_pass(const Source& source, const Batch& batch, const Noises& noises, int64_t begin, int64_t end,     \
                   T* buffer, O* rows, O* panel, int64_t ld);                                                      \
  /* c = f(c + bias), also as rows of the operand; pre keeps c + bias where f needs it; accumulates. */            \
  void activation_pass(T* c, int64_t ld, const T* bias, Activation activation, O* rows, T* pre, int64_t rows_ld,   \
                       const CodeTerms<T>& code, const Tile& tile);                                                \
  /* c = (c + slope_j + slope(h)) f'(h)  + term_j f'(h) f''(h), also as rows, and its column sums. */              \
  void derivative_pass(T* c, int64_t ld, const O* kept, const T* pre, int64_t kept_ld, const CodeTerms<T>& code,   \
                       Activation activation, O* rows, int64_t rows_ld, T* sums, const Tile& tile);                \
  /* c = d loss / d (c + bias), also as rows, and its column sums; returns the loss. share is 1 / whole batch. */  \
  double output_pass(T* c, int64_t ld, const T* bias, Activation activation, Loss loss, const Targets<T>& targets, \
                     const Batch& batch, T share, O* rows, int64_t rows_ld, T* sums, const Tile& tile);            \
  /* The same for softmax cross-entropy; the tile holds whole rows. */                                             \
  double softmax_pass(T* c, int64_t ld, const T* bias, const Targets<T>& targets, const Batch& batch, T share,     \
                      O* rows, int64_t rows_ld, T* sums, int64_t classes, const Tile& tile);                       \
  /* c = c scale where it was not struck, else 0, also as rows; where `whole` is given, it keeps c as it was. */   \
  void drop_pass(T* c, int64_t ld, const uint8_t* struck, O* whole, O* rows, int64_t rows_ld, T scale,             \
                 const Tile& tile);
STACKAE_DECLARE_PASSES(float, float)
STACKAE_DECLARE_PASSES(float, c10::BFloat16)
STACKAE_DECLARE_PASSES(double, double)
#undef STACKAE_DECLARE_PASSES

// The forms that matmuls read (operand.h); pairs is scratch of tile_rows x tile_columns words.
// The tile as columns, and as a right factor, each where it is wanted.
void store_pass(const float* c, int64_t ld, c10::BFloat16* columns, int64_t columns_ld, c10::BFloat16* panel,
                int64_t panel_ld, uint32_t* pairs, const Tile& tile);
// The tile of a weight as right factor of matmuls with the weight and with its transpose.
void store_weight_pass(const float* c, int64_t ld, c10::BFloat16* panel, int64_t panel_ld, c10::BFloat16* transposed,
                       int64_t transposed_ld, uint32_t* pairs, const Tile& tile);

// Which entries of a batch are replaced or dropped at this rate: 1 in `struck`, in rows of whole vectors.
void strike(double rate, const Stream& stream, const Batch& batch, int64_t width, uint8_t* struck);

// Updates a tile of parameters p by its gradient g, which becomes the new p; first and second are the rule's moments,
// with the strides of p. False where some of them would not be finite: those keep their values (update.h).
bool update_pass(float* p, int64_t p_ld, float* g, int64_t g_ld, float* first, float* second, int64_t rows,
                 int64_t columns, Rule rule, const OptimizerScalars<float>& scalars);
bool update_pass(double* p, int64_t p_ld, double* g, int64_t g_ld, double* first, double* second, int64_t rows,
                 int64_t columns, Rule rule, const OptimizerScalars<double>& scalars);

// The sum of the elementwise penalty over a tile of codes, without its weight.
double entry_pass(const float* c, int64_t ld, EntryPenalty<float> entry, const Tile& tile);
double entry_pass(const double* c, int64_t ld, EntryPenalty<double> entry, const Tile& tile);

// The squared norm of each row [begin, end) of a contiguous matrix.
void norms_pass(const float* matrix, int64_t columns, int64_t begin, int64_t end, float* norms);
void norms_pass(const double* matrix, int64_t columns, int64_t begin, int64_t end, double* norms);

// c += strength sign(w) over a tile; returns the sum of |w|.
double weight_l1_pass(float* c, int64_t ld, const float* w, int64_t w_ld, float strength, int64_t rows,
                      int64_t columns);
double weight_l1_pass(double* c, int64_t ld, const double* w, int64_t w_ld, double strength, int64_t rows,
                      int64_t columns);

// Scales the rows of a tile of weights whose squared norm is beyond that of longest to it; true where there were any.
bool shorten_pass(float* w, int64_t ld, const float* norms, float longest, int64_t rows, int64_t columns);
bool shorten_pass(double* w, int64_t ld, const double* norms, double longest, int64_t rows, int64_t columns);

// c += term_i w_i over the rows of a tile, whose first row has the first term.
void weight_term_pass(float* c, int64_t ld, const float* w, int64_t w_ld, const float* terms, int64_t rows,
                      int64_t columns);
void weight_term_pass(double* c, int64_t ld, const double* w, int64_t w_ld, const double* terms, int64_t rows,
                      int64_t columns);

}  // namespace stackae::cpu
