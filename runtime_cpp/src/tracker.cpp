#include "edgepose/tracker.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "assignment.h"
#include "edgepose/boxes.h"
#include "edgepose/one_euro.h"
#include "pose_motion.h"

namespace edgepose {
namespace {

// From this share of a box on, another person's pose may be found in it.
constexpr float kCoveredShare = 0.2F;
// A person who first appears near others is often a box around two of them, seen once: it gets a
// track when it was found this often.
constexpr int kSightingsNearOthers = 3;
constexpr float kSamePlaceIou = 0.3F;
// A velocity needs this long to be known.
constexpr float kShortLife_s = 1.0F / 60;
constexpr size_t kNoTrack = static_cast<size_t>(-1);

// A pose as found at a time, not smoothed, and its velocity in px/s.
struct Sighting {
  Pose pose;
  float velocity_x = 0, velocity_y = 0;
  int64_t seen_ns = 0;
};

struct Track {
  int64_t id = 0;
  Sighting last;
  // The last one at which nobody else was near: the pose of one person can be found in the box of
  // another, and then position and velocity are those of the wrong one.
  Sighting clear;
  int sightings = 0;
  int64_t born_ns = 0;
  bool lost = false;
  BoxXyxy remembered;  // without area: was not there
  PoseFilter filter;
};

// A person near others who may get a track.
struct Candidate {
  BoxXyxy box;
  int sightings;
};

// Of times that only rise; their difference may be more than int64_t holds.
float seconds(int64_t from_ns, int64_t to_ns) {
  const uint64_t ns = static_cast<uint64_t>(to_ns) - static_cast<uint64_t>(from_ns);
  return static_cast<float>(static_cast<double>(ns) * 1e-9);
}

bool covers(const BoxXyxy& other, const BoxXyxy& box) {
  const float width = std::min(other.x2, box.x2) - std::max(other.x1, box.x1);
  const float height = std::min(other.y2, box.y2) - std::max(other.y1, box.y1);
  const float area = (box.x2 - box.x1) * (box.y2 - box.y1);
  return std::max(width, 0.0F) * std::max(height, 0.0F) > kCoveredShare * area;
}

void copy(const Pose& from, Pose* to) {
  to->box = from.box;
  to->box_score = from.box_score;
  to->keypoints.assign(from.keypoints.begin(), from.keypoints.end());
}

}  // namespace

class Tracker::Impl {
 public:
  Impl(const TrackingSettings& settings, std::vector<float> sigmas, float threshold, bool smooth,
       size_t points)
      : settings_(settings),
        sigmas_(std::move(sigmas)),
        threshold_(threshold),
        smooth_(smooth),
        points_(points) {}

  Status begin(int64_t time_ns, int width_px, int height_px) {
    if (started_ && time_ns <= time_ns_) {
      return Status(Code::kInvalidArgument,
                    "the time of this frame, " + std::to_string(time_ns) +
                        " ns, is not after that of the last one, " + std::to_string(time_ns_) +
                        " ns",
                    "give rising times, and reset the pipeline between two videos");
    }
    now_ns_ = time_ns;
    width_px_ = width_px;
    height_px_ = height_px;
    after_pause_ = started_ && seconds(time_ns_, now_ns_) > settings_.max_lost_s;
    expire();
    return {};
  }

  bool after_pause() const { return after_pause_; }
  bool wants_detection() const { return wants_detection_; }

  const std::vector<Prediction>& predict() {
    predictions_.clear();
    for (Track& track : tracks_) {
      if (track.lost) continue;
      const BoxXyxy box = expected(track.last).box;
      const float visible_x =
          std::min(box.x2, static_cast<float>(width_px_)) - std::max(box.x1, 0.0F);
      const float visible_y =
          std::min(box.y2, static_cast<float>(height_px_)) - std::max(box.y1, 0.0F);
      if (visible_x < kMinBoxSide_px || visible_y < kMinBoxSide_px) {
        lose(&track);
      } else {
        const float score = track.last.pose.box_score;
        const auto after = std::upper_bound(
            predictions_.begin(), predictions_.end(), score,
            [](float value, const Prediction& other) { return value > other.box_score; });
        predictions_.insert(after, {box, score});
      }
    }
    return predictions_;
  }

  size_t update(Source source, Span<Pose> poses) {
    started_ = true;
    time_ns_ = now_ns_;
    wants_detection_ = false;
    choose(source, poses);
    track_of_.assign(poses.size(), kNoTrack);
    associate(/*lost=*/false, poses);
    if (source != Source::kFollowed) associate(/*lost=*/true, poses);
    found_.assign(tracks_.size(), 0);
    mark_near(poses);
    size_t remaining = 0;
    for (size_t i = 0; i < poses.size(); ++i) {
      if (keep_[i] == 0) continue;
      size_t t = track_of_[i];
      if (t == kNoTrack && source == Source::kFollowed) continue;
      if (t == kNoTrack) t = bear(source, poses[i], near_[i] != 0);
      poses[i].track_id = -1;
      if (t != kNoTrack) sight(source, &tracks_[t], &poses[i], near_[i] != 0);
      if (i != remaining) std::swap(poses[i], poses[remaining]);
      ++remaining;
    }
    for (size_t t = 0; t < found_.size(); ++t) {
      if (found_[t] != 0 || tracks_[t].lost) continue;
      lose(&tracks_[t]);
      wants_detection_ = source == Source::kFollowed;
    }
    started_tracks_ = started_tracks_ || !tracks_.empty();
    if (source != Source::kFollowed) {  // those of a followed frame were not looked for
      std::swap(candidates_, next_candidates_);
      next_candidates_.clear();
      wants_detection_ = wants_detection_ || !candidates_.empty();
    }
    return remaining;
  }

  void remember() {
    for (Track& track : tracks_) track.remembered = track.lost ? BoxXyxy() : track.last.pose.box;
  }

  void advance(Span<Detection> detections) {
    for (Detection& detection : detections) {
      BoxXyxy& box = detection.box;
      const Track* nearest = nullptr;
      float best = kSamePlaceIou;
      for (const Track& track : tracks_) {
        const float alike = iou(track.remembered, box);
        if (track.lost || alike < best) continue;
        best = alike;
        nearest = &track;
      }
      if (nearest == nullptr) continue;
      const BoxXyxy& from = nearest->remembered;
      const BoxXyxy to = expected(nearest->last).box;
      const float x_px = (to.x1 + to.x2 - from.x1 - from.x2) / 2;
      const float y_px = (to.y1 + to.y2 - from.y1 - from.y2) / 2;
      box = {box.x1 + x_px, box.y1 + y_px, box.x2 + x_px, box.y2 + y_px};
      clip(&box);
    }
  }

  void end_tracks() {
    while (!tracks_.empty()) remove(tracks_.size() - 1);
    started_tracks_ = false;
  }

  void reset() {
    end_tracks();
    started_ = false;
    next_id_ = 1;
  }

 private:
  // The pose moved to this frame.
  const Pose& expected(const Sighting& sighting) {
    const float dt_s = std::min(seconds(sighting.seen_ns, now_ns_), settings_.max_prediction_s);
    copy(sighting.pose, &moved_);
    shift(sighting.velocity_x * dt_s, sighting.velocity_y * dt_s, &moved_);
    return moved_;
  }

  void lose(Track* track) {
    track->lost = true;
    track->filter.reset();
  }

  void remove(size_t index) {
    const auto at = tracks_.begin() + static_cast<ptrdiff_t>(index);
    spare_.push_back(std::move(*at));
    tracks_.erase(at);
  }

  // Removes those who were not seen for too long.
  void expire() {
    for (size_t t = tracks_.size(); t-- > 0;) {
      if (seconds(tracks_[t].last.seen_ns, now_ns_) > settings_.max_lost_s) remove(t);
    }
  }

  // Marks in keep_ the poses that stand for a person of their own.
  void choose(Source source, Span<Pose> poses) {
    keep_.assign(poses.size(), 1);
    if (source == Source::kGiven) return;
    quality_.clear();
    for (size_t i = 0; i < poses.size(); ++i) {
      // Of a face in close-up most of the body is out of sight.
      const float score = std::max(mean_score(poses[i].keypoints, points_),
                                   mean_score(poses[i].keypoints, poses[i].keypoints.size()));
      quality_.push_back(poses[i].box_score * score);
      if (source == Source::kFollowed && score < settings_.loss_keypoint_score) keep_[i] = 0;
    }
    order_.resize(poses.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::sort(order_.begin(), order_.end(), [&](size_t a, size_t b) {
      return quality_[a] != quality_[b] ? quality_[a] > quality_[b] : a < b;
    });
    for (size_t i = 0; i < order_.size(); ++i) {
      if (keep_[order_[i]] == 0) continue;
      for (size_t j = i + 1; j < order_.size(); ++j) {
        if (keep_[order_[j]] == 0) continue;
        const Pose &one = poses[order_[i]], &other = poses[order_[j]];
        const float alike = oks(one, other, sigmas_, threshold_, 1, points_);
        if (alike > settings_.nms_oks) keep_[order_[j]] = 0;
      }
    }
  }

  float likeness(const Sighting& sighting, const Pose& at, const Pose& pose) const {
    const float boxes = iou(at.box, pose.box);
    if (sigmas_.empty()) return boxes;
    const float unseen_s = seconds(sighting.seen_ns, now_ns_);
    const float points =
        oks(at, pose, sigmas_, threshold_, 1 + unseen_s / settings_.uncertainty_time_s, points_);
    if (points < 0) return boxes;
    return settings_.keypoint_weight * points + (1 - settings_.keypoint_weight) * boxes;
  }

  // Writes how alike the track and each of columns_ are. Near other people the last clear sighting
  // counts as much as the last one, and for a lost track the better of the two.
  void compare(const Track& track, Span<const Pose> poses, float* gains) {
    const Pose& at = expected(track.last);
    for (size_t c = 0; c < columns_.size(); ++c)
      gains[c] = likeness(track.last, at, poses[columns_[c]]);
    if (track.clear.seen_ns == track.last.seen_ns) return;
    const Pose& from_clear = expected(track.clear);
    for (size_t c = 0; c < columns_.size(); ++c) {
      const float other = likeness(track.clear, from_clear, poses[columns_[c]]);
      gains[c] = track.lost ? std::max(gains[c], other) : (gains[c] + other) / 2;
    }
  }

  // Gives the tracks that are lost, or those that are not, to the poses that have none yet.
  void associate(bool lost, Span<Pose> poses) {
    rows_.clear();
    columns_.clear();
    for (size_t t = 0; t < tracks_.size(); ++t) {
      if (tracks_[t].lost == lost) rows_.push_back(t);
    }
    for (size_t i = 0; i < poses.size(); ++i) {
      if (keep_[i] != 0 && track_of_[i] == kNoTrack) columns_.push_back(i);
    }
    if (rows_.empty() || columns_.empty()) return;
    gains_.resize(rows_.size() * columns_.size());
    for (size_t r = 0; r < rows_.size(); ++r) {
      compare(tracks_[rows_[r]], {poses.data(), poses.size()}, gains_.data() + r * columns_.size());
    }
    // Among alike poses the more certain box wins: one around two people is seldom the best.
    for (size_t g = 0; g < gains_.size(); ++g) {
      const float score = poses[columns_[g % columns_.size()]].box_score;
      // Not alike either: NaN, of boxes whose area is more than a float holds.
      gains_[g] = gains_[g] >= settings_.match_similarity ? gains_[g] * score : 0;
    }
    assignment_.solve(rows_.size(), columns_.size(), gains_, &column_of_row_);
    for (size_t r = 0; r < rows_.size(); ++r) {
      if (column_of_row_[r] >= 0)
        track_of_[columns_[static_cast<size_t>(column_of_row_[r])]] = rows_[r];
    }
  }

  // Starts a track for the pose where it is certain enough.
  size_t bear(Source source, const Pose& pose, bool near_others) {
    if (source == Source::kDetected) {
      if (pose.box_score < settings_.birth_box_score) return kNoTrack;
      if (started_tracks_ && near_others && !was_seen_often(pose)) return kNoTrack;
    }
    if (spare_.empty()) {
      tracks_.emplace_back();
    } else {
      tracks_.push_back(std::move(spare_.back()));
      spare_.pop_back();
    }
    Track& track = tracks_.back();
    track.id = next_id_++;
    track.last.velocity_x = track.last.velocity_y = 0;
    track.sightings = 0;
    track.born_ns = now_ns_;
    track.lost = false;
    track.remembered = {};
    track.filter.reset();
    return tracks_.size() - 1;
  }

  bool was_seen_often(const Pose& pose) {
    int sightings = 1;
    for (const Candidate& before : candidates_) {
      if (iou(before.box, pose.box) >= kSamePlaceIou)
        sightings = std::max(sightings, before.sightings + 1);
    }
    if (sightings >= kSightingsNearOthers) return true;
    next_candidates_.push_back({pose.box, sightings});
    return false;
  }

  // How much the newest velocity counts: as much as its share of the time seen, later by the time
  // constant. Two frames a moment apart, of a stream that stutters, tell little.
  float velocity_weight(float dt_s, float age_s) const {
    return std::max(dt_s / std::max(age_s, kShortLife_s),
                    1 - std::exp(-dt_s / settings_.velocity_time_s));
  }

  void sight(Source source, Track* track, Pose* pose, bool near_others) {
    const size_t index = static_cast<size_t>(track - tracks_.data());
    if (index < found_.size()) found_[index] = 1;
    Sighting& last = track->last;
    if (track->sightings > 0) {
      const float dt_s = seconds(last.seen_ns, now_ns_);
      const PoseMotion motion = motion_between(last.pose, *pose, points_, threshold_);
      if (source == Source::kFollowed) {
        pose->box = followed_box(last.pose.box, motion, *pose, points_, threshold_, settings_);
        clip(&pose->box);
      }
      const float weight = velocity_weight(dt_s, seconds(track->born_ns, now_ns_));
      last.velocity_x += weight * (motion.x_px / dt_s - last.velocity_x);
      last.velocity_y += weight * (motion.y_px / dt_s - last.velocity_y);
    }
    ++track->sightings;
    track->lost = false;
    last.seen_ns = now_ns_;
    copy(*pose, &last.pose);
    const float clear_s = seconds(track->clear.seen_ns, now_ns_);
    if (!near_others || track->sightings == 1 || clear_s > settings_.max_prediction_s) {
      copy(last.pose, &track->clear.pose);
      track->clear.velocity_x = last.velocity_x;
      track->clear.velocity_y = last.velocity_y;
      track->clear.seen_ns = now_ns_;
    }
    pose->track_id = track->id;
    if (smooth_) {
      const float area = (pose->box.x2 - pose->box.x1) * (pose->box.y2 - pose->box.y1);
      track->filter.apply(now_ns_, std::sqrt(std::max(area, 0.0F)), threshold_, settings_.smoothing,
                          pose->keypoints, pose->z);
    }
  }

  // Marks the poses that another person of this frame, or one that is lost behind it, may cover.
  void mark_near(Span<Pose> poses) {
    near_.assign(poses.size(), 0);
    for (size_t i = 0; i < poses.size(); ++i) {
      for (size_t j = 0; j < poses.size() && near_[i] == 0; ++j)
        near_[i] = i != j && keep_[j] != 0 && covers(poses[j].box, poses[i].box) ? 1 : 0;
    }
    for (const Track& track : tracks_) {
      if (!track.lost) continue;
      const BoxXyxy box = expected(track.last).box;
      for (size_t i = 0; i < poses.size(); ++i) {
        const bool itself = track_of_[i] != kNoTrack && &tracks_[track_of_[i]] == &track;
        if (!itself && covers(box, poses[i].box)) near_[i] = 1;
      }
    }
  }

  void clip(BoxXyxy* box) const {
    const auto inside = [](float value, int limit) {
      return std::min(std::max(value, 0.0F), static_cast<float>(limit));
    };
    *box = {inside(box->x1, width_px_), inside(box->y1, height_px_), inside(box->x2, width_px_),
            inside(box->y2, height_px_)};
  }

  const TrackingSettings settings_;
  const std::vector<float> sigmas_;
  const float threshold_;
  const bool smooth_;
  const size_t points_;  // may be more than there are

  std::vector<Track> tracks_;  // by id
  std::vector<Track> spare_;   // whose memory the next ones take
  int64_t next_id_ = 1;
  bool started_ = false;
  bool after_pause_ = false;
  bool wants_detection_ = false;
  bool started_tracks_ = false;  // in the first frame with persons, and after a cut, all are new
  int64_t time_ns_ = 0;          // of the last updated frame
  int64_t now_ns_ = 0;           // of the frame that was begun
  int width_px_ = 0, height_px_ = 0;

  Pose moved_;
  std::vector<Prediction> predictions_;
  std::vector<Candidate> candidates_, next_candidates_;  // of the last detection, and of this one
  std::vector<char> keep_, found_, near_;
  std::vector<float> quality_, gains_;
  std::vector<size_t> order_, rows_, columns_, track_of_;
  std::vector<int> column_of_row_;
  Assignment assignment_;
};

Tracker::Tracker(const TrackingSettings& settings, std::vector<float> sigmas,
                 float keypoint_score_threshold, bool smooth, size_t points)
    : impl_(std::make_unique<Impl>(settings, std::move(sigmas), keypoint_score_threshold, smooth,
                                   points)) {}
Tracker::~Tracker() = default;

Status Tracker::begin(int64_t time_ns, int width_px, int height_px) {
  return impl_->begin(time_ns, width_px, height_px);
}
bool Tracker::after_pause() const { return impl_->after_pause(); }
bool Tracker::wants_detection() const { return impl_->wants_detection(); }
const std::vector<Tracker::Prediction>& Tracker::predict() { return impl_->predict(); }
size_t Tracker::update(Source source, Span<Pose> poses) { return impl_->update(source, poses); }
void Tracker::remember() { impl_->remember(); }
void Tracker::advance(Span<Detection> detections) { impl_->advance(detections); }
void Tracker::end_tracks() { impl_->end_tracks(); }
void Tracker::reset() { impl_->reset(); }

}  // namespace edgepose
