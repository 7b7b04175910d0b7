#include "edgepose/one_euro.h"

#include <algorithm>
#include <cmath>

namespace edgepose {
namespace {

constexpr float kTwoPi = 6.28318530718F;
// Below a pixel a person has no size to compare a speed with.
constexpr float kMinSize_px = 1.0F;

float gain(float cutoff_hz, float dt_s) { return 1.0F - std::exp(-kTwoPi * cutoff_hz * dt_s); }

}  // namespace

float OneEuroFilter::next(float value, float dt_s, float size, const SmoothingSettings& settings) {
  if (empty_) {
    empty_ = false;
    raw_ = value_ = value;
    speed_ = 0;
    return value;
  }
  const float speed = (value - raw_) / dt_s;
  speed_ += gain(settings.derivative_cutoff_hz, dt_s) * (speed - speed_);
  const float cutoff_hz =
      settings.min_cutoff_hz + settings.cutoff_per_speed * std::abs(speed_) / size;
  value_ += gain(cutoff_hz, dt_s) * (value - value_);
  raw_ = value;
  return value_;
}

void PoseFilter::apply(int64_t time_ns, float size_px, float score_threshold,
                       const SmoothingSettings& settings, Span<Keypoint> keypoints, Span<float> z) {
  points_.resize(keypoints.size());
  const float size = std::max(size_px, kMinSize_px);
  for (size_t k = 0; k < keypoints.size(); ++k) {
    Keypoint& found = keypoints[k];
    Point& point = points_[k];
    // The times rise; their difference may be more than int64_t holds.
    const uint64_t dt_ns = static_cast<uint64_t>(time_ns) - static_cast<uint64_t>(point.seen_ns);
    const float dt_s = static_cast<float>(static_cast<double>(dt_ns) * 1e-9);
    if (found.score > 0 && found.score >= score_threshold) {
      found.x_px = point.x.next(found.x_px, dt_s, size, settings);
      found.y_px = point.y.next(found.y_px, dt_s, size, settings);
      point.score = found.score;
      if (k < z.size()) point.z = z[k];
      point.seen_ns = time_ns;
    } else if (!point.x.empty() && dt_s <= settings.hold_s) {
      found = {point.x.value(), point.y.value(), point.score};
      if (k < z.size()) z[k] = point.z;
    } else {
      point.x.reset();
      point.y.reset();
    }
  }
}

}  // namespace edgepose
