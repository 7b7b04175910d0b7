#ifndef EDGEPOSE_SRC_SCENE_CHANGE_H_
#define EDGEPOSE_SRC_SCENE_CHANGE_H_

#include <array>
#include <cstdint>

#include "edgepose/image.h"

namespace edgepose {

// Finds cuts between frames by the brightness of a coarse grid.
class SceneChange {
 public:
  // Whether the picture differs from the last one by more than threshold_levels (mean over the
  // grid, 0..255); a picture of another shape, or turned or mirrored in another way, does, too. The
  // picture must be valid.
  bool is_cut(const ImageView& image, float threshold_levels);

 private:
  static constexpr int kColumns = 32;
  static constexpr int kRows = 18;

  std::array<uint16_t, static_cast<size_t>(kColumns) * kRows> grid_{};
  int width_px_ = 0;  // 0: no picture yet
  int height_px_ = 0;
  int rotation_deg_ = 0;
  bool mirrored_ = false;
};

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_SCENE_CHANGE_H_
