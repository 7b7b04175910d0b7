#ifndef EDGEPOSE_SRC_SIGMOID_H_
#define EDGEPOSE_SRC_SIGMOID_H_

#include <cmath>
#include <limits>

namespace edgepose {

inline float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

// A little below the logit of a probability: what lies under it certainly has a smaller sigmoid, so
// that the sigmoid is taken of few values.
inline float logit_floor(float probability) {
  if (!(probability > 0)) return std::numeric_limits<float>::lowest();
  if (probability >= 1) return std::numeric_limits<float>::max();
  const double p = probability;
  return static_cast<float>(std::log(p / (1 - p)) - 1e-3);
}

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_SIGMOID_H_
