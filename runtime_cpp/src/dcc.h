#ifndef EDGEPOSE_SRC_DCC_H_
#define EDGEPOSE_SRC_DCC_H_

#include <vector>

#include "dcc_file.h"
#include "dcc_kernels.h"
#include "edgepose/types.h"

namespace edgepose {

// One kept cell: where its pose vector lies, its box (input pixels, not clipped) and its prior.
struct DccCell {
  const float* pose;
  ptrdiff_t pose_stride;
  BoxXyxy box;
  float prior_x, prior_y;
};

struct DccPoint {
  float x, y;
};

// The memory of one thread's work.
struct DccScratch {
  std::vector<float> poses, tokens, normalised, gates, mixed, coefficients;
  std::vector<float> queries, keys, attention;
  std::vector<float> turns, sine, cosine, panel, logits;
};

// RTMO's dynamic coordinate classifier; edgepose/nets/dcc.py states the mathematics step by step.
class Dcc {
 public:
  explicit Dcc(const DccArrays& arrays, const DccKernels& kernels);

  int keypoints() const { return keypoints_; }
  int pose_channels() const { return pose_channels_; }

  // Grows a scratch to what decode() needs for this many cells.
  void prepare(int cells, DccScratch* scratch) const;

  // Writes keypoints() points in input pixels for each of count cells. box_padding is the factor on
  // the box sides over which the bins lie. const and safe in several threads with a scratch each.
  void decode(const DccCell* cells, int count, float box_padding, DccScratch* scratch,
              DccPoint* points) const;

 private:
  // A weight matrix in panels, and its sizes rounded up to panels.
  struct Packed {
    std::vector<float> values;
    int depth = 0;
    int columns = 0;

    Panels panels() const {
      return {values.data(), kPanel, static_cast<ptrdiff_t>(depth) * kPanel};
    }
  };
  struct Bins {
    double first, step;
    int count;
  };

  // Packs `columns` rows of a [columns, depth] matrix (or, transposed, columns of a [depth,
  // columns] one) as columns, starting at column `at`.
  static void pack(const std::vector<float>& weights, int columns, int depth, bool transposed,
                   int at, Packed* packed);

  void tokens_of(const DccCell* cells, int count, DccScratch* s) const;
  void mix(int cells, DccScratch* s) const;
  void attend(const float* gates, DccScratch* s, float* mixed) const;
  void locate(const DccCell& cell, int axis, float box_padding, const float* coefficients,
              DccScratch* s, DccPoint* points) const;

  const DccKernels& kernels_;
  int keypoints_, pose_channels_, width_, periods_;
  // Rounded up to panels; what is added is 0.
  int width_padded_, attention_padded_, inner_padded_, code_padded_;
  float norm_gain_;
  Packed pose_, uv_, out_, code_;
  std::vector<float> pose_bias_, query_scale_, query_offset_, key_scale_, key_offset_,
      residual_scale_;
  std::vector<double> turns_per_px_;
  Bins bins_[2];
};

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_DCC_H_
