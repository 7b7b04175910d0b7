#include "edgepose/boxes.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "sigmoid.h"

namespace edgepose {
namespace {

bool finite(const Detection& d) {
  return std::isfinite(d.score) && std::isfinite(d.box.x1) && std::isfinite(d.box.y1) &&
         std::isfinite(d.box.x2) && std::isfinite(d.box.y2);
}

// The maps of one stride, at one item of the batch.
struct Level {
  const float* logits;
  const float* distances;
  int width;
  int height;
  int stride;

  int cells() const { return width * height; }
};

// A cell's class has its index cell * classes + class: the order in which the original code breaks
// ties.
void rank_level(const Level& level, const BoxHead& head,
                std::vector<std::pair<float, int>>* ranked) {
  const int classes = static_cast<int>(head.classes.size());
  const int cells = level.cells();
  const float floor = logit_floor(head.score_threshold);
  ranked->clear();
  for (int c = 0; c < classes; ++c) {
    const float* logits = level.logits + static_cast<size_t>(c) * static_cast<size_t>(cells);
    for (int i = 0; i < cells; ++i) {
      if (!(logits[i] > floor)) continue;
      const float score = sigmoid(logits[i]);
      if (score > head.score_threshold && std::isfinite(logits[i]))
        ranked->emplace_back(score, i * classes + c);
    }
  }
  const auto better = [](const std::pair<float, int>& a, const std::pair<float, int>& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  };
  const size_t limit = static_cast<size_t>(head.max_candidates_per_level);
  if (ranked->size() > limit) {
    std::nth_element(ranked->begin(), ranked->begin() + static_cast<ptrdiff_t>(limit),
                     ranked->end(), better);
    ranked->resize(limit);
  }
  std::sort(ranked->begin(), ranked->end(), better);
}

// The box of a cell in source pixels; false where the network gave a value that is not finite.
bool box_of(const Level& level, int cell, const BoxHead& head, const Preprocess& preprocess,
            const InputTransform& transform, BoxXyxy* box) {
  float distance[4];
  for (int side = 0; side < 4; ++side) {
    const float raw =
        level.distances[static_cast<size_t>(side) * static_cast<size_t>(level.cells()) +
                        static_cast<size_t>(cell)];
    if (!std::isfinite(raw)) return false;
    distance[side] =
        (head.exp_on_distances ? std::exp(raw) : raw) * static_cast<float>(level.stride);
  }
  const float x = static_cast<float>(cell % level.width * level.stride);
  const float y = static_cast<float>(cell / level.width * level.stride);
  const float right = static_cast<float>(preprocess.input_width_px);
  const float bottom = static_cast<float>(preprocess.input_height_px);
  box->x1 = std::clamp(x - distance[0], 0.0f, right) * transform.scale_x + transform.offset_x;
  box->y1 = std::clamp(y - distance[1], 0.0f, bottom) * transform.scale_y + transform.offset_y;
  box->x2 = std::clamp(x + distance[2], 0.0f, right) * transform.scale_x + transform.offset_x;
  box->y2 = std::clamp(y + distance[3], 0.0f, bottom) * transform.scale_y + transform.offset_y;
  return true;
}

Status level_of(Span<const Tensor> outputs, int batch_index, const BoxHead& head,
                const Preprocess& preprocess, size_t index, Level* level) {
  const Tensor& logits = outputs[index];
  const Tensor& distances = outputs[index + head.strides.size()];
  const int stride = head.strides[index];
  const int64_t classes = static_cast<int64_t>(head.classes.size());
  const int64_t height = (preprocess.input_height_px + stride - 1) / stride;
  const int64_t width = (preprocess.input_width_px + stride - 1) / stride;
  const auto fits = [&](const Tensor& t, int64_t channels) {
    const std::vector<int64_t>& d = t.dims();
    return d.size() == 4 && batch_index >= 0 && d[0] > batch_index && d[1] == channels &&
           d[2] == height && d[3] == width;
  };
  if (!fits(logits, classes) || !fits(distances, 4)) {
    return Status(Code::kInvalidArgument,
                  "the maps of stride " + std::to_string(stride) + " are not [N, " +
                      std::to_string(classes) + " or 4, " + std::to_string(height) + ", " +
                      std::to_string(width) + "] with item " + std::to_string(batch_index),
                  "check that the network's outputs are those of its head");
  }
  const size_t cells = static_cast<size_t>(height * width), item = static_cast<size_t>(batch_index);
  *level = {logits.data() + item * static_cast<size_t>(classes) * cells,
            distances.data() + item * 4 * cells, static_cast<int>(width), static_cast<int>(height),
            stride};
  return Status();
}

}  // namespace

float iou(const BoxXyxy& a, const BoxXyxy& b) {
  const float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  if (!(width > 0) || !(height > 0)) return 0;
  const float both = width * height;
  return both / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both);
}

void nms_indices(Span<const Detection> detections, float iou_threshold, int max_detections,
                 std::vector<int>* kept) {
  kept->clear();
  for (size_t i = 0; i < detections.size(); ++i) {
    if (finite(detections[i])) kept->push_back(static_cast<int>(i));
  }
  const auto at = [&](int i) -> const Detection& { return detections[static_cast<size_t>(i)]; };
  std::sort(kept->begin(), kept->end(), [&](int a, int b) {
    return at(a).score > at(b).score || (at(a).score == at(b).score && a < b);
  });
  // The kept indices gather at the front of the list that is being read.
  size_t count = 0;
  for (size_t i = 0; i < kept->size() && count < static_cast<size_t>(std::max(max_detections, 0));
       ++i) {
    const int candidate = (*kept)[i];
    bool suppressed = false;
    for (size_t j = 0; j < count && !suppressed; ++j) {
      const Detection& better = at((*kept)[j]);
      suppressed =
          better.label == at(candidate).label && iou(better.box, at(candidate).box) > iou_threshold;
    }
    if (!suppressed) (*kept)[count++] = candidate;
  }
  kept->resize(count);
}

Status decode_boxes(Span<const Tensor> outputs, int batch_index, const BoxHead& head,
                    const Preprocess& preprocess, const InputTransform& transform,
                    int image_width_px, int image_height_px, BoxScratch* scratch,
                    std::vector<Detection>* detections) {
  detections->clear();
  if (outputs.size() != 2 * head.strides.size()) {
    return Status(Code::kInvalidArgument,
                  "the network gave " + std::to_string(outputs.size()) + " outputs, its head has " +
                      std::to_string(2 * head.strides.size()),
                  "check that the network's outputs are those of its head");
  }
  scratch->candidates.clear();
  const int classes = static_cast<int>(head.classes.size());
  for (size_t s = 0; s < head.strides.size(); ++s) {
    Level level = {};
    EDGEPOSE_RETURN_IF_ERROR(level_of(outputs, batch_index, head, preprocess, s, &level));
    rank_level(level, head, &scratch->ranked);
    for (const auto& [score, index] : scratch->ranked) {
      Detection d;
      if (!box_of(level, index / classes, head, preprocess, transform, &d.box)) continue;
      if (!(d.box.x2 - d.box.x1 > 0) || !(d.box.y2 - d.box.y1 > 0)) continue;
      d.score = score;
      d.label = index % classes;
      scratch->candidates.push_back(d);
    }
  }
  nms_indices(scratch->candidates, head.nms_iou_threshold, head.max_detections, &scratch->kept);
  const float right = static_cast<float>(image_width_px),
              bottom = static_cast<float>(image_height_px);
  for (int i : scratch->kept) {
    Detection d = scratch->candidates[static_cast<size_t>(i)];
    d.box = {std::clamp(d.box.x1, 0.0f, right), std::clamp(d.box.y1, 0.0f, bottom),
             std::clamp(d.box.x2, 0.0f, right), std::clamp(d.box.y2, 0.0f, bottom)};
    // Empty: the box lay in the padding.
    if (d.box.x2 > d.box.x1 && d.box.y2 > d.box.y1) detections->push_back(d);
  }
  return Status();
}

}  // namespace edgepose
