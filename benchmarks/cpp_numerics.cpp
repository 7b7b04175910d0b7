// Times preprocessing and decoding. CMake's target edgepose_bench_numerics.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>
#include <vector>

#include "dcc.h"
#include "edgepose/boxes.h"
#include "edgepose/preprocess.h"
#include "edgepose/simcc.h"
#include "preprocess_with.h"
#include "worker_pool.h"

namespace {

using edgepose::BoxXyxy;

constexpr int kFrameWidthPx = 768, kFrameHeightPx = 576;

double median_ms(const std::function<void()>& work) {
  std::vector<double> samples;
  work();
  for (int i = 0; i < 300; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    samples.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::nth_element(samples.begin(), samples.begin() + 150, samples.end());
  return samples[150];
}

std::vector<float> noise(size_t count, float mean, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, 1);
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

// RTMO-s: 17 points, 192 x 256 bins.
edgepose::DccArrays rtmo_s() {
  edgepose::DccArrays a = {};
  a.keypoints = 17;
  a.pose_channels = a.inner = 256;
  a.width = a.attention = 128;
  a.periods = 64;
  a.x_bin_count = 192;
  a.y_bin_count = 256;
  a.pose_weight = noise(17 * 128 * 256, 0, 1);
  a.pose_bias = noise(17 * 128, 0, 2);
  a.norm_gain = {1};
  a.uv_weight = noise(640 * 128, 0, 3);
  a.query_scale = a.key_scale = noise(128, 0, 4);
  a.query_offset = a.key_offset = noise(17 * 128, 0, 5);
  a.out_weight = noise(128 * 256, 0, 6);
  a.residual_scale = noise(128, 0, 7);
  a.x_weight = a.y_weight = noise(128 * 128, 0, 8);
  a.frequencies = noise(64, 0, 9);
  a.x_bins.resize(192);
  a.y_bins.resize(256);
  for (std::vector<float>* bins : {&a.x_bins, &a.y_bins}) {
    const float last = static_cast<float>(bins->size() - 1);
    for (size_t i = 0; i < bins->size(); ++i) (*bins)[i] = static_cast<float>(i) / last - 0.5f;
  }
  return a;
}

void time_rtmo() {
  using namespace edgepose;
  const DccArrays arrays = rtmo_s();
  const std::vector<float> poses = noise(20 * 256, 0, 10);
  std::vector<DccCell> cells;
  for (int i = 0; i < 20; ++i) {
    const float x = 20.0f * static_cast<float>(i);
    cells.push_back({poses.data() + i * 256, 1, {x, 100, x + 90, 300}, x + 40, 200});
  }
  std::vector<DccPoint> points(20 * 17);
  for (const DccKernels* kernels : usable_dcc_kernels()) {
    const Dcc dcc(arrays, *kernels);
    for (int persons : {1, 5, 10, 20}) {
      DccScratch scratch;
      const double ms =
          median_ms([&] { dcc.decode(cells.data(), persons, 1.25f, &scratch, points.data()); });
      std::printf("%-8s RTMO-s coordinate classifier, %2d persons: %.3f ms\n", kernels->name,
                  persons, ms);
    }
  }

  // As RtmoDecoder does it: the persons shared out over the pipeline's threads.
  struct Round {
    const Dcc* dcc;
    const DccCell* cells;
    DccPoint* points;
    DccScratch scratch[2];
  };
  const Dcc dcc(arrays, **(usable_dcc_kernels().end() - 1));
  Round round = {&dcc, cells.data(), points.data(), {}};
  WorkerPool pool(2);
  const double ms = median_ms([&] {
    pool.run(
        2,
        [](void* context, int worker, int half) {
          Round& r = *static_cast<Round*>(context);
          r.dcc->decode(r.cells + 10 * half, 10, 1.25f, &r.scratch[worker],
                        r.points + static_cast<ptrdiff_t>(10) * half * 17);
        },
        &round);
  });
  std::printf("2 threads RTMO-s coordinate classifier, 20 persons: %.3f ms\n", ms);
}

}  // namespace

int main() {
  using namespace edgepose;
  std::vector<uint8_t> pixels(3 * kFrameWidthPx * kFrameHeightPx);
  std::mt19937 random(1);
  for (uint8_t& p : pixels) p = static_cast<uint8_t>(random());
  const ImageView frame = {pixels.data(), kFrameWidthPx, kFrameHeightPx, 3 * kFrameWidthPx,
                           PixelFormat::kBgr};

  const Preprocess crop = {
      Preprocess::Resize::kAffine, 256,       192,  true, {123.675f, 116.28f, 103.53f},
      {58.395f, 57.12f, 57.375f},  {0, 0, 0}, 1.25f};
  std::vector<float> input(3 * 640 * 640);
  InputTransform transform;
  const struct {
    const char* name;
    BoxXyxy box;
  } persons[] = {{"person 10 x 20", {400, 300, 410, 320}},
                 {"person 60 x 150", {300, 200, 360, 350}},
                 {"person 150 x 400", {300, 100, 450, 500}},
                 {"whole frame", {0, 0, 768, 576}},
                 {"half outside", {600, 300, 1000, 900}}};
  SimccHead simcc = {};
  simcc.split_ratio = 2;
  const std::vector<float> x = noise(17 * 384, 0, 2), y = noise(17 * 512, 0, 3);
  std::vector<Keypoint> keypoints(17);
  const double decode_ms = median_ms([&] {
    decode_simcc(x.data(), 384, y.data(), 512, nullptr, 0, 17, simcc, transform, keypoints.data(),
                 nullptr);
  });
  std::printf("SimCC decode, 17 points: %.4f ms\n", decode_ms);
  for (const PixelKernels* kernels : usable_pixel_kernels()) {
    for (const auto& person : persons) {
      const double ms = median_ms([&] {
        (void)preprocess_with(*kernels, frame, &person.box, crop, input.data(), &transform);
      });
      std::printf("%-7s crop 256x192, %-17s %.4f ms\n", kernels->name, person.name, ms);
    }
    for (int side : {320, 640}) {
      const Preprocess spec = {Preprocess::Resize::kLetterbox,
                               side,
                               side,
                               false,
                               {103.53f, 116.28f, 123.675f},
                               {57.375f, 57.12f, 58.395f},
                               {114, 114, 114},
                               1};
      const double ms = median_ms(
          [&] { (void)preprocess_with(*kernels, frame, nullptr, spec, input.data(), &transform); });
      std::printf("%-7s letterbox %d                   %.4f ms\n", kernels->name, side, ms);
    }
    const Preprocess centred = {Preprocess::Resize::kLetterboxCentred,
                                640,
                                640,
                                false,
                                {0, 0, 0},
                                {1, 1, 1},
                                {114, 114, 114},
                                1};
    const double ms = median_ms([&] {
      (void)preprocess_with(*kernels, frame, nullptr, centred, input.data(), &transform);
    });
    std::printf("%-7s centred letterbox 640           %.4f ms\n", kernels->name, ms);
  }

  BoxHead head = {{8, 16, 32}, false, {"person"}, 0.05f, 0.6f, 1000, 100};
  const Preprocess small = {
      Preprocess::Resize::kLetterbox, 320, 320, false, {0, 0, 0}, {1, 1, 1}, {0, 0, 0}, 1};
  for (float mean : {-8.0f, -4.0f, 0.0f}) {
    std::vector<std::vector<float>> maps;
    std::vector<Tensor> tensors(6);
    for (int i = 0; i < 6; ++i) {
      const int side = 320 / head.strides[static_cast<size_t>(i % 3)], channels = i < 3 ? 1 : 4;
      maps.push_back(noise(static_cast<size_t>(channels * side * side), i < 3 ? mean : 3.0f,
                           7u + unsigned(i)));
      tensors[static_cast<size_t>(i)].borrow(maps.back().data(), {1, channels, side, side});
    }
    BoxScratch scratch;
    std::vector<Detection> detections;
    const double ms = median_ms([&] {
      (void)decode_boxes(tensors, 0, head, small, transform, kFrameWidthPx, kFrameHeightPx,
                         &scratch, &detections);
    });
    std::printf("RTMDet decode 320, logits around %2.0f, %4zu candidates, %3zu kept: %.4f ms\n",
                mean, scratch.candidates.size(), detections.size(), ms);
  }
  time_rtmo();
  return 0;
}
