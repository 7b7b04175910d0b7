#ifndef EDGEPOSE_SRC_DCC_FILE_H_
#define EDGEPOSE_SRC_DCC_FILE_H_

#include <string>
#include <vector>

#include "edgepose/status.h"

namespace edgepose {

// The weights of RTMO's dynamic coordinate classifier, with the names and the meaning that
// edgepose/nets/dcc.py gives them: K points, C pose channels, F token channels, A attention
// channels, E gated channels, P periods.
//
// The file, little-endian: the bytes "EPDCC001"; eight uint32: K, C, F, A, E, P, x bins, y bins;
// then the arrays as float32, in the order of the members below; nothing else.
struct DccArrays {
  int keypoints, pose_channels, width, attention, inner, periods, x_bin_count, y_bin_count;

  std::vector<float> pose_weight;     // K F, C
  std::vector<float> pose_bias;       // K F
  std::vector<float> norm_gain;       // 1
  std::vector<float> uv_weight;       // 2 E + A, F
  std::vector<float> query_scale;     // A
  std::vector<float> query_offset;    // K, A
  std::vector<float> key_scale;       // A
  std::vector<float> key_offset;      // K, A
  std::vector<float> out_weight;      // F, E
  std::vector<float> residual_scale;  // F
  std::vector<float> x_weight;        // F, 2 P
  std::vector<float> y_weight;        // F, 2 P
  std::vector<float> frequencies;     // P
  std::vector<float> x_bins;          // x bins, evenly spaced
  std::vector<float> y_bins;          // y bins, evenly spaced
};

// Errors: kIo; kInvalidBundle for a file that is not exactly this, or holds a value that is not
// finite.
Result<DccArrays> read_dcc_file(const std::string& path);
Result<DccArrays> parse_dcc_file(const std::string& bytes);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_DCC_FILE_H_
