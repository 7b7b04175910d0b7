#ifndef EDGEPOSE_SRC_DCC_KERNELS_H_
#define EDGEPOSE_SRC_DCC_KERNELS_H_

#include <cstddef>

#include "edgepose/span.h"

namespace edgepose {

// Columns of a matrix are handled in panels of this many; widths are rounded up to it.
constexpr int kPanel = 16;

struct Matrix {
  const float* values;
  ptrdiff_t row_stride;
};

// A right-hand matrix by panels of kPanel columns: rows of a panel are row_stride apart, panels
// panel_stride.
struct Panels {
  const float* values;
  ptrdiff_t row_stride;
  ptrdiff_t panel_stride;
};

// The arithmetic of the coordinate classifier, one table per instruction set. Counts of columns are
// multiples of kPanel. The tables agree up to rounding.
struct DccKernels {
  const char* name;

  // c (rows x columns) = a (rows x depth) b (depth x columns) + bias (columns; may be null).
  void (*multiply)(Matrix a, Panels b, const float* bias, int rows, int columns, int depth,
                   float* c, ptrdiff_t c_stride);

  // x = x * sigmoid(x).
  void (*silu)(float* x, int count);

  // sine[i], cosine[i] of turns[i] full turns, |turns| <= 0.5.
  void (*sine_cosine)(const float* turns, int count, float* sine, float* cosine);

  // Rotates 16 unit vectors at once: row p of the panel gets cos(a[p] + b[p][i]), row periods + p
  // the sine, from the sines and cosines of a[p] and b[p][i], i in 0..15.
  void (*rotate)(const float* a_sine, const float* a_cosine, const float* b_sine,
                 const float* b_cosine, int periods, float* panel);

  // The mean index of a softmax over logits[0..count-1].
  float (*expected_index)(const float* logits, int count);

  // The sum of a[i] * b[i].
  float (*dot)(const float* a, const float* b, int count);
};

// Every table that this processor can run, the slowest first.
Span<const DccKernels* const> usable_dcc_kernels();

// One of them; null where this build or processor cannot run it.
const DccKernels* avx2_dcc_kernels();

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_DCC_KERNELS_H_
