#include "dcc.h"

#include <algorithm>
#include <cmath>

namespace edgepose {
namespace {

// Tokens of this many cells at a time stay in the second-level cache.
constexpr int kBlockCells = 8;
constexpr double kTwoPi = 6.283185307179586;

int round_up(int n) { return (n + kPanel - 1) / kPanel * kPanel; }

size_t area(int a, int b) { return static_cast<size_t>(a) * static_cast<size_t>(b); }

// Copies rows of `from` columns into rows of `to` columns, the rest 0.
std::vector<float> widened(const std::vector<float>& values, int from, int to) {
  std::vector<float> result(values.size() / static_cast<size_t>(from) * static_cast<size_t>(to));
  for (size_t i = 0; i < values.size(); ++i) {
    result[i / static_cast<size_t>(from) * static_cast<size_t>(to) +
           i % static_cast<size_t>(from)] = values[i];
  }
  return result;
}

void grow(std::vector<float>* values, size_t count) {
  if (values->size() < count) values->resize(count);
}

// The part of a number of turns that matters, in -0.5..0.5. Double precision: positions of hundreds
// of pixels times frequencies of up to one radian per pixel.
float fraction_of(double turns) {
  constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52
  return static_cast<float>(turns - ((turns + kRounder) - kRounder));
}

}  // namespace

void Dcc::pack(const std::vector<float>& weights, int columns, int depth, bool transposed, int at,
               Packed* packed) {
  for (int column = 0; column < columns; ++column) {
    const int to = at + column;
    float* panel = packed->values.data() + area(to / kPanel, packed->depth) * kPanel + to % kPanel;
    for (int k = 0; k < depth; ++k) {
      panel[area(k, kPanel)] = weights[transposed ? area(k, columns) + static_cast<size_t>(column)
                                                  : area(column, depth) + static_cast<size_t>(k)];
    }
  }
}

Dcc::Dcc(const DccArrays& a, const DccKernels& kernels)
    : kernels_(kernels),
      keypoints_(a.keypoints),
      pose_channels_(a.pose_channels),
      width_(a.width),
      periods_(round_up(a.periods)),
      width_padded_(round_up(a.width)),
      attention_padded_(round_up(a.attention)),
      inner_padded_(round_up(a.inner)),
      code_padded_(2 * round_up(a.periods)),
      norm_gain_(a.norm_gain[0]),
      query_scale_(widened(a.query_scale, a.attention, attention_padded_)),
      query_offset_(widened(a.query_offset, a.attention, attention_padded_)),
      key_scale_(widened(a.key_scale, a.attention, attention_padded_)),
      key_offset_(widened(a.key_offset, a.attention, attention_padded_)),
      residual_scale_(widened(a.residual_scale, a.width, width_padded_)) {
  const auto empty = [](int depth, int columns) {
    return Packed{std::vector<float>(area(depth, columns)), depth, columns};
  };
  const auto slice = [](const std::vector<float>& v, size_t first, size_t count) {
    return std::vector<float>(v.begin() + static_cast<ptrdiff_t>(first),
                              v.begin() + static_cast<ptrdiff_t>(first + count));
  };
  pose_ = empty(pose_channels_, keypoints_ * width_padded_);
  for (int k = 0; k < keypoints_; ++k) {
    const size_t part = area(a.width, pose_channels_);
    pack(slice(a.pose_weight, static_cast<size_t>(k) * part, part), a.width, pose_channels_, false,
         k * width_padded_, &pose_);
  }
  pose_bias_ = widened(a.pose_bias, a.width, width_padded_);
  uv_ = empty(width_padded_, 2 * inner_padded_ + attention_padded_);
  const size_t inner = area(a.inner, a.width);
  pack(slice(a.uv_weight, 0, inner), a.inner, a.width, false, 0, &uv_);
  pack(slice(a.uv_weight, inner, inner), a.inner, a.width, false, inner_padded_, &uv_);
  pack(slice(a.uv_weight, 2 * inner, area(a.attention, a.width)), a.attention, a.width, false,
       2 * inner_padded_, &uv_);
  out_ = empty(inner_padded_, width_padded_);
  pack(a.out_weight, a.width, a.inner, false, 0, &out_);
  // Columns: cosines of x, sines of x, cosines of y, sines of y.
  code_ = empty(width_padded_, 2 * code_padded_);
  int column = 0;
  for (const std::vector<float>* weights : {&a.x_weight, &a.y_weight}) {
    for (int part = 0; part < 2; ++part, column += periods_) {
      std::vector<float> half;
      for (int f = 0; f < a.width; ++f) {
        const auto row = weights->begin() + f * 2 * a.periods + part * a.periods;
        half.insert(half.end(), row, row + a.periods);
      }
      pack(half, a.periods, a.width, true, column, &code_);
    }
  }
  turns_per_px_.assign(static_cast<size_t>(periods_), 0);
  for (size_t p = 0; p < a.frequencies.size(); ++p) turns_per_px_[p] = a.frequencies[p] / kTwoPi;
  const auto spacing = [](const std::vector<float>& b) {
    const double step =
        (static_cast<double>(b.back()) - b.front()) / static_cast<double>(b.size() - 1);
    return Bins{b.front(), step, static_cast<int>(b.size())};
  };
  bins_[0] = spacing(a.x_bins);
  bins_[1] = spacing(a.y_bins);
}

void Dcc::prepare(int cells, DccScratch* s) const {
  cells = std::min(cells, kBlockCells);
  const int rows = cells * keypoints_;
  const int bins = round_up(std::max(bins_[0].count, bins_[1].count));
  grow(&s->poses, area(cells, pose_channels_));
  grow(&s->tokens, area(cells * keypoints_, width_padded_));
  grow(&s->normalised, area(rows, width_padded_));
  grow(&s->gates, area(rows, uv_.columns));
  grow(&s->mixed, area(rows, inner_padded_));
  grow(&s->coefficients, area(rows, code_.columns));
  grow(&s->queries, area(keypoints_, attention_padded_));
  grow(&s->keys, area(keypoints_, attention_padded_));
  grow(&s->attention, area(keypoints_, keypoints_));
  // Bins within a panel, then one row per panel.
  const size_t turns = area(periods_, kPanel) + area(periods_, bins / kPanel);
  grow(&s->turns, turns);
  grow(&s->sine, turns);
  grow(&s->cosine, turns);
  grow(&s->panel, area(code_padded_, kPanel));
  grow(&s->logits, area(keypoints_, bins));
}

void Dcc::tokens_of(const DccCell* cells, int count, DccScratch* s) const {
  for (int i = 0; i < count; ++i) {
    float* pose = s->poses.data() + area(i, pose_channels_);
    for (int c = 0; c < pose_channels_; ++c) pose[c] = cells[i].pose[cells[i].pose_stride * c];
  }
  kernels_.multiply({s->poses.data(), pose_channels_}, pose_.panels(), pose_bias_.data(), count,
                    pose_.columns, pose_channels_, s->tokens.data(), pose_.columns);
}

// The attention of one cell: mixed = u * (relu(q k)^2 v).
void Dcc::attend(const float* gates, DccScratch* s, float* mixed) const {
  const int a = attention_padded_;
  for (int k = 0; k < keypoints_; ++k) {
    const float* base = gates + area(k, uv_.columns) + 2 * inner_padded_;
    for (int i = 0; i < a; ++i) {
      const size_t at = area(k, a) + static_cast<size_t>(i);
      s->queries[at] = base[i] * query_scale_[static_cast<size_t>(i)] + query_offset_[at];
      s->keys[at] = base[i] * key_scale_[static_cast<size_t>(i)] + key_offset_[at];
    }
  }
  for (int i = 0; i < keypoints_; ++i) {
    for (int j = 0; j < keypoints_; ++j) {
      const float product =
          kernels_.dot(s->queries.data() + area(i, a), s->keys.data() + area(j, a), a);
      // Not std::max: a value that is not a number must stay one.
      const float positive = product < 0 ? 0 : product;
      s->attention[area(i, keypoints_) + static_cast<size_t>(j)] = positive * positive;
    }
  }
  kernels_.multiply({s->attention.data(), keypoints_}, {gates + inner_padded_, uv_.columns, kPanel},
                    nullptr, keypoints_, inner_padded_, keypoints_, mixed, inner_padded_);
  for (int k = 0; k < keypoints_; ++k) {
    const float* u = gates + area(k, uv_.columns);
    float* row = mixed + area(k, inner_padded_);
    for (int i = 0; i < inner_padded_; ++i) row[i] *= u[i];
  }
}

// From the tokens of a block of cells, at the front of s->tokens + offset, to the coefficients of
// their codes.
void Dcc::mix(int cells, DccScratch* s) const {
  const int rows = cells * keypoints_;
  float* tokens = s->tokens.data();
  for (int r = 0; r < rows; ++r) {
    const float* token = tokens + area(r, width_padded_);
    const float mean_square =
        kernels_.dot(token, token, width_padded_) / static_cast<float>(width_);
    const float gain = norm_gain_ / std::max(std::sqrt(mean_square), 1e-5f);
    float* row = s->normalised.data() + area(r, width_padded_);
    for (int i = 0; i < width_padded_; ++i) row[i] = token[i] * gain;
  }
  kernels_.multiply({s->normalised.data(), width_padded_}, uv_.panels(), nullptr, rows, uv_.columns,
                    width_padded_, s->gates.data(), uv_.columns);
  kernels_.silu(s->gates.data(), rows * uv_.columns);
  for (int i = 0; i < cells; ++i) {
    attend(s->gates.data() + area(i * keypoints_, uv_.columns), s,
           s->mixed.data() + area(i * keypoints_, inner_padded_));
  }
  // The normalised tokens are no longer needed.
  float* added = s->normalised.data();
  kernels_.multiply({s->mixed.data(), inner_padded_}, out_.panels(), nullptr, rows, width_padded_,
                    inner_padded_, added, width_padded_);
  for (int r = 0; r < rows; ++r) {
    const size_t start = area(r, width_padded_);
    for (size_t i = 0; i < static_cast<size_t>(width_padded_); ++i) {
      tokens[start + i] = residual_scale_[i] * tokens[start + i] + added[start + i];
    }
  }
  kernels_.multiply({tokens, width_padded_}, code_.panels(), nullptr, rows, code_.columns,
                    width_padded_, s->coefficients.data(), code_.columns);
}

// One axis of one cell. Bin i lies at first + i * step; its code is that of the first bin of its
// panel, rotated by that of its place in the panel, so that few sines are taken.
void Dcc::locate(const DccCell& cell, int axis, float box_padding, const float* coefficients,
                 DccScratch* s, DccPoint* points) const {
  const Bins& bins = bins_[axis];
  const double low = axis == 0 ? cell.box.x1 : cell.box.y1,
               high = axis == 0 ? cell.box.x2 : cell.box.y2;
  const double side = (high - low) * box_padding;
  const double step = bins.step * side;
  const double first = bins.first * side + (low + high) / 2;
  const double from_prior = first - (axis == 0 ? cell.prior_x : cell.prior_y);
  const int panels = round_up(bins.count) / kPanel;

  const size_t inside = area(periods_, kPanel);
  float* turns = s->turns.data();
  for (int p = 0; p < periods_; ++p) {
    const double angle = turns_per_px_[static_cast<size_t>(p)] * step;
    for (int i = 0; i < kPanel; ++i) turns[p * kPanel + i] = fraction_of(angle * i);
  }
  for (int b = 0; b < panels; ++b) {
    const double place = from_prior + step * (b * kPanel);
    float* row = turns + inside + area(b, periods_);
    for (int p = 0; p < periods_; ++p)
      row[p] = fraction_of(turns_per_px_[static_cast<size_t>(p)] * place);
  }
  kernels_.sine_cosine(turns, static_cast<int>(inside) + panels * periods_, s->sine.data(),
                       s->cosine.data());
  for (int b = 0; b < panels; ++b) {
    const size_t row = inside + area(b, periods_);
    kernels_.rotate(s->sine.data() + row, s->cosine.data() + row, s->sine.data(), s->cosine.data(),
                    periods_, s->panel.data());
    kernels_.multiply({coefficients + axis * code_padded_, code_.columns},
                      {s->panel.data(), kPanel, 0}, nullptr, keypoints_, kPanel, code_padded_,
                      s->logits.data() + b * kPanel, panels * kPanel);
  }
  for (int k = 0; k < keypoints_; ++k) {
    const float index =
        kernels_.expected_index(s->logits.data() + area(k, panels * kPanel), bins.count);
    const float place = static_cast<float>(first + step * static_cast<double>(index));
    (axis == 0 ? points[k].x : points[k].y) = place;
  }
}

void Dcc::decode(const DccCell* cells, int count, float box_padding, DccScratch* scratch,
                 DccPoint* points) const {
  for (int done = 0; done < count; done += kBlockCells) {
    const int block = std::min(kBlockCells, count - done);
    prepare(block, scratch);
    tokens_of(cells + done, block, scratch);
    mix(block, scratch);
    for (int i = 0; i < block; ++i) {
      const float* coefficients =
          scratch->coefficients.data() + area(i * keypoints_, code_.columns);
      for (int axis = 0; axis < 2; ++axis) {
        locate(cells[done + i], axis, box_padding, coefficients, scratch,
               points + area(done + i, keypoints_));
      }
    }
  }
}

}  // namespace edgepose
