#include "edgepose/rtmo.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "dcc.h"
#include "edgepose/boxes.h"
#include "sigmoid.h"
#include "worker_pool.h"

namespace edgepose {
namespace {

// The maps of one stride, at one item of the batch.
struct Level {
  const float* logits;
  const float* boxes;
  const float* visibilities;
  const float* poses;
  int width;
  int height;
  int stride;

  int cells() const { return width * height; }
};

// A candidate's cell within its level.
struct Cell {
  const Level* level;
  int index;

  float prior(int position) const {
    return static_cast<float>(position * level->stride) + static_cast<float>(level->stride - 1) / 2;
  }
  float prior_x() const { return prior(index % level->width); }
  float prior_y() const { return prior(index / level->width); }
};

// False where the network gave a value that is not finite.
bool box_of(const Cell& cell, BoxXyxy* box) {
  float raw[4];
  for (int i = 0; i < 4; ++i) {
    raw[i] = cell.level->boxes[static_cast<size_t>(i) * static_cast<size_t>(cell.level->cells()) +
                               static_cast<size_t>(cell.index)];
    if (!std::isfinite(raw[i])) return false;
  }
  const float stride = static_cast<float>(cell.level->stride);
  const float x = raw[0] * stride + cell.prior_x(), y = raw[1] * stride + cell.prior_y();
  const float half_width = std::exp(raw[2]) * stride / 2,
              half_height = std::exp(raw[3]) * stride / 2;
  *box = {x - half_width, y - half_height, x + half_width, y + half_height};
  return true;
}

Status levels_of(Span<const Tensor> outputs, int batch_index, const RtmoHead& head,
                 const Preprocess& preprocess, int pose_channels, std::vector<Level>* levels) {
  const size_t strides = head.strides.size();
  if (outputs.size() != 4 * strides) {
    return Status(Code::kInvalidArgument,
                  "the network gave " + std::to_string(outputs.size()) + " outputs, its head has " +
                      std::to_string(4 * strides),
                  "check that the network's outputs are those of its head");
  }
  levels->resize(strides);
  const int64_t channels[4] = {1, 4, static_cast<int64_t>(head.keypoints.size()), pose_channels};
  for (size_t s = 0; s < strides; ++s) {
    const int stride = head.strides[s];
    const int64_t height = preprocess.input_height_px / stride,
                  width = preprocess.input_width_px / stride;
    const float* maps[4];
    for (size_t kind = 0; kind < 4; ++kind) {
      const Tensor& tensor = outputs[kind * strides + s];
      const std::vector<int64_t>& d = tensor.dims();
      if (d.size() != 4 || batch_index < 0 || d[0] <= batch_index || d[1] != channels[kind] ||
          d[2] != height || d[3] != width) {
        return Status(Code::kInvalidArgument,
                      "output " + std::to_string(kind * strides + s) + " is not [N, " +
                          std::to_string(channels[kind]) + ", " + std::to_string(height) + ", " +
                          std::to_string(width) + "] with item " + std::to_string(batch_index),
                      "check that the network's outputs are those of its head");
      }
      maps[kind] = tensor.data() + batch_index * channels[kind] * height * width;
    }
    (*levels)[s] = {
        maps[0], maps[1], maps[2], maps[3], static_cast<int>(width), static_cast<int>(height),
        stride};
  }
  return Status();
}

Keypoint keypoint_of(DccPoint point, float visibility, const BoxXyxy& box_src,
                     const InputTransform& transform) {
  const float x = point.x * transform.scale_x + transform.offset_x;
  const float y = point.y * transform.scale_y + transform.offset_y;
  if (!std::isfinite(x) || !std::isfinite(y) || !std::isfinite(visibility)) {
    return {(box_src.x1 + box_src.x2) / 2, (box_src.y1 + box_src.y2) / 2, 0};
  }
  return {x, y, sigmoid(visibility)};
}

}  // namespace

struct RtmoDecoder::State {
  RtmoHead head;
  Dcc dcc;
  WorkerPool* pool;
  std::vector<DccScratch> scratch;

  std::vector<Level> levels;
  std::vector<std::pair<float, Cell>> ranked;
  std::vector<Detection> candidates;
  std::vector<Cell> cells;
  std::vector<int> kept;
  std::vector<DccCell> persons;
  std::vector<DccPoint> points;

  State(RtmoHead rtmo_head, const DccArrays& arrays, WorkerPool* worker_pool)
      : head(std::move(rtmo_head)),
        dcc(arrays, **(usable_dcc_kernels().end() - 1)),
        pool(worker_pool),
        scratch(static_cast<size_t>(worker_pool == nullptr ? 1 : worker_pool->size())) {}

  void rank();
  void decode_points();
  void decode_share(int share, int shares, DccScratch* memory);
};

// The best cells above the threshold as candidates; on ties the earlier cell first.
void RtmoDecoder::State::rank() {
  const float floor = logit_floor(head.score_threshold);
  ranked.clear();
  for (const Level& level : levels) {
    for (int i = 0; i < level.cells(); ++i) {
      if (!(level.logits[i] > floor)) continue;
      const float score = sigmoid(level.logits[i]);
      if (score > head.score_threshold && std::isfinite(level.logits[i]))
        ranked.push_back({score, {&level, i}});
    }
  }
  const auto better = [](const std::pair<float, Cell>& a, const std::pair<float, Cell>& b) {
    if (a.first != b.first) return a.first > b.first;
    return a.second.level != b.second.level ? a.second.level < b.second.level
                                            : a.second.index < b.second.index;
  };
  const size_t limit = static_cast<size_t>(head.max_candidates);
  if (ranked.size() > limit) {
    std::nth_element(ranked.begin(), ranked.begin() + static_cast<ptrdiff_t>(limit), ranked.end(),
                     better);
    ranked.erase(ranked.begin() + static_cast<ptrdiff_t>(limit), ranked.end());
  }
  std::sort(ranked.begin(), ranked.end(), better);
  candidates.clear();
  cells.clear();
  for (const auto& [score, cell] : ranked) {
    Detection d;
    if (!box_of(cell, &d.box)) continue;
    d.score = score;
    candidates.push_back(d);
    cells.push_back(cell);
  }
}

void RtmoDecoder::State::decode_share(int share, int shares, DccScratch* memory) {
  const int count = static_cast<int>(persons.size());
  const int first = count * share / shares, end = count * (share + 1) / shares;
  dcc.decode(persons.data() + first, end - first, head.box_padding, memory,
             points.data() + static_cast<ptrdiff_t>(first) * dcc.keypoints());
}

void RtmoDecoder::State::decode_points() {
  points.resize(persons.size() * static_cast<size_t>(dcc.keypoints()));
  const int shares = std::min(static_cast<int>(scratch.size()), static_cast<int>(persons.size()));
  if (shares <= 1) {
    decode_share(0, 1, &scratch[0]);
    return;
  }
  // A thread that gets its first share late must not allocate then.
  const int largest = (static_cast<int>(persons.size()) + shares - 1) / shares;
  for (DccScratch& memory : scratch) dcc.prepare(largest, &memory);
  struct Round {
    State* state;
    int shares;
  } round = {this, shares};
  pool->run(
      shares,
      [](void* context, int worker, int share) {
        const Round& r = *static_cast<Round*>(context);
        r.state->decode_share(share, r.shares, &r.state->scratch[static_cast<size_t>(worker)]);
      },
      &round);
}

RtmoDecoder::RtmoDecoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
RtmoDecoder::~RtmoDecoder() = default;

Result<std::unique_ptr<RtmoDecoder>> RtmoDecoder::open(const RtmoHead& head,
                                                       const std::string& dcc_file,
                                                       WorkerPool* pool) {
  EDGEPOSE_ASSIGN_OR_RETURN(const DccArrays arrays, read_dcc_file(dcc_file));
  if (arrays.keypoints != static_cast<int>(head.keypoints.size()) ||
      arrays.x_bin_count != head.x_bins || arrays.y_bin_count != head.y_bins) {
    return Status(Code::kInvalidBundle,
                  "the coordinate classifier is for " + std::to_string(arrays.keypoints) +
                      " keypoints and " + std::to_string(arrays.x_bin_count) + " x " +
                      std::to_string(arrays.y_bin_count) + " bins, the head for " +
                      std::to_string(head.keypoints.size()) + " and " +
                      std::to_string(head.x_bins) + " x " + std::to_string(head.y_bins),
                  "convert the checkpoint again");
  }
  return std::unique_ptr<RtmoDecoder>(new RtmoDecoder(std::make_unique<State>(head, arrays, pool)));
}

Status RtmoDecoder::decode(Span<const Tensor> outputs, int batch_index,
                           const Preprocess& preprocess, const InputTransform& transform,
                           int image_width_px, int image_height_px, std::vector<Detection>* persons,
                           std::vector<Keypoint>* keypoints) {
  persons->clear();
  keypoints->clear();
  State& s = *state_;
  EDGEPOSE_RETURN_IF_ERROR(
      levels_of(outputs, batch_index, s.head, preprocess, s.dcc.pose_channels(), &s.levels));
  s.rank();
  nms_indices(s.candidates, s.head.nms_iou_threshold, s.head.max_detections, &s.kept);
  const float input_right = static_cast<float>(preprocess.input_width_px);
  const float input_bottom = static_cast<float>(preprocess.input_height_px);
  const float right = static_cast<float>(image_width_px),
              bottom = static_cast<float>(image_height_px);
  const auto to_source = [](float v, float input_limit, float scale, float offset, float limit) {
    return std::clamp(std::clamp(v, 0.0f, input_limit) * scale + offset, 0.0f, limit);
  };
  s.persons.clear();
  size_t count = 0;
  for (int i : s.kept) {
    const Detection& candidate = s.candidates[static_cast<size_t>(i)];
    const BoxXyxy& box = candidate.box;
    Detection person = candidate;
    person.box.x1 = to_source(box.x1, input_right, transform.scale_x, transform.offset_x, right);
    person.box.y1 = to_source(box.y1, input_bottom, transform.scale_y, transform.offset_y, bottom);
    person.box.x2 = to_source(box.x2, input_right, transform.scale_x, transform.offset_x, right);
    person.box.y2 = to_source(box.y2, input_bottom, transform.scale_y, transform.offset_y, bottom);
    // Empty: the box lay in the padding.
    if (!(person.box.x2 > person.box.x1) || !(person.box.y2 > person.box.y1)) continue;
    const Cell& cell = s.cells[static_cast<size_t>(i)];
    persons->push_back(person);
    s.persons.push_back(
        {cell.level->poses + cell.index, cell.level->cells(), box, cell.prior_x(), cell.prior_y()});
    s.kept[count++] = i;
  }
  s.decode_points();
  const size_t points = static_cast<size_t>(s.dcc.keypoints());
  for (size_t p = 0; p < count; ++p) {
    const Cell& cell = s.cells[static_cast<size_t>(s.kept[p])];
    const size_t cells = static_cast<size_t>(cell.level->cells()),
                 index = static_cast<size_t>(cell.index);
    for (size_t k = 0; k < points; ++k) {
      keypoints->push_back(keypoint_of(s.points[p * points + k],
                                       cell.level->visibilities[k * cells + index],
                                       (*persons)[p].box, transform));
    }
  }
  return Status();
}

}  // namespace edgepose
