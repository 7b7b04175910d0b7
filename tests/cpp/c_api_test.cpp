#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "edgepose.h"
#include "test_bundles.h"
#include "wrong_golden.h"

namespace edgepose {
namespace {

struct Closer {
  void operator()(edgepose_pipeline* pipeline) const { edgepose_close(pipeline); }
  void operator()(edgepose_frame* frame) const { edgepose_frame_free(frame); }
};
using PipelineHandle = std::unique_ptr<edgepose_pipeline, Closer>;
using FrameHandle = std::unique_ptr<edgepose_frame, Closer>;

PipelineHandle open_c(const std::string& name, const edgepose_options* options = nullptr) {
  edgepose_pipeline* pipeline = nullptr;
  EXPECT_EQ(edgepose_open(test_bundle(name).c_str(), options, &pipeline), EDGEPOSE_OK)
      << edgepose_last_error();
  return PipelineHandle(pipeline);
}

edgepose_image image_of(const ImageView& view) {
  edgepose_image image = EDGEPOSE_IMAGE_INIT;
  image.data = view.data;
  image.u = view.u;
  image.v = view.v;
  image.width_px = view.width_px;
  image.height_px = view.height_px;
  image.format = static_cast<int32_t>(view.format);
  image.colour = static_cast<int32_t>(view.colour);
  image.rotation_deg = view.rotation_deg;
  image.mirrored = view.mirrored ? 1 : 0;
  image.row_stride_bytes = view.row_stride_bytes;
  image.chroma_row_stride_bytes = view.chroma_row_stride_bytes;
  image.chroma_pixel_stride_bytes = view.chroma_pixel_stride_bytes;
  image.data_bytes = view.data_bytes;
  image.u_bytes = view.u_bytes;
  image.v_bytes = view.v_bytes;
  return image;
}

size_t count_of(const edgepose_frame* frame) {
  size_t count = 0;
  edgepose_frame_persons(frame, &count);
  return count;
}

void expect_same(const edgepose_frame* frame, const std::vector<Pose>& poses) {
  size_t count = 0;
  const edgepose_person* persons = edgepose_frame_persons(frame, &count);
  ASSERT_EQ(count, poses.size());
  for (size_t i = 0; i < count; ++i) {
    const BoxXyxy box{persons[i].x1_px, persons[i].y1_px, persons[i].x2_px, persons[i].y2_px};
    EXPECT_EQ(std::memcmp(&box, &poses[i].box, sizeof(box)), 0);
    EXPECT_EQ(persons[i].box_score, poses[i].box_score);
    EXPECT_EQ(persons[i].track_id, poses[i].track_id);
    for (size_t k = 0; k < poses[i].keypoints.size(); ++k) {
      EXPECT_EQ(persons[i].keypoints[k].x_px, poses[i].keypoints[k].x_px);
      EXPECT_EQ(persons[i].keypoints[k].y_px, poses[i].keypoints[k].y_px);
      EXPECT_EQ(persons[i].keypoints[k].score, poses[i].keypoints[k].score);
    }
    ASSERT_EQ(persons[i].z_m == nullptr, poses[i].z.empty());
    for (size_t k = 0; k < poses[i].z.size(); ++k) EXPECT_EQ(persons[i].z_m[k], poses[i].z[k]);
  }
}

// Planes that hold any format of the given size.
struct CameraPicture {
  std::vector<uint8_t> luma, u, v;
  ImageView view;

  CameraPicture(PixelFormat format, int width_px, int height_px) {
    const TestPicture noise(width_px * 2, height_px * 2, 5);
    const auto copy = [&](size_t bytes) {
      return std::vector<uint8_t>(noise.view().data, noise.view().data + bytes);
    };
    view.format = format;
    view.width_px = width_px;
    view.height_px = height_px;
    view.row_stride_bytes = static_cast<ptrdiff_t>(width_px) * channels_of(format);
    luma = copy(static_cast<size_t>(view.row_stride_bytes * height_px));
    view.data = luma.data();
    view.data_bytes = luma.size();
    if (!is_yuv(format)) return;
    const int pixel_stride = format == PixelFormat::kYuv420 ? 1 : 2;
    view.chroma_pixel_stride_bytes = pixel_stride;
    view.chroma_row_stride_bytes = static_cast<ptrdiff_t>((width_px + 1) / 2) * pixel_stride;
    u = copy(static_cast<size_t>(view.chroma_row_stride_bytes * ((height_px + 1) / 2)));
    view.u = u.data();
    view.u_bytes = u.size();
    if (format != PixelFormat::kYuv420) return;
    v = u;
    view.v = v.data();
    view.v_bytes = v.size();
  }
};

TEST(CApiTest, EveryTypeOfBundleGivesWhatThePipelineGives) {
  for (const char* name : {"top_down", "detect", "pose", "pose_3d", "one_stage"}) {
    const auto expected = open_pipeline(test_bundle(name), 1);
    const PipelineHandle pipeline = open_c(name);
    const FrameHandle frame(edgepose_frame_new());
    ASSERT_TRUE(expected != nullptr && pipeline != nullptr && frame != nullptr);
    EXPECT_EQ(edgepose_bundle_name(pipeline.get()), expected->bundle().name());
    EXPECT_EQ(edgepose_bundle_digest(pipeline.get()), expected->bundle().digest());
    size_t found = 0;
    for (unsigned seed = 0; seed < 3; ++seed) {
      const TestPicture picture(64, 48, seed);
      std::vector<Pose> poses;
      ASSERT_TRUE(expected->process(picture.view(), 0, &poses).ok());
      const edgepose_image image = image_of(picture.view());
      ASSERT_EQ(edgepose_process(pipeline.get(), &image, 0, frame.get()), EDGEPOSE_OK);
      expect_same(frame.get(), poses);
      found += poses.size();
      EXPECT_GT(edgepose_frame_timings(frame.get()).total_ns, 0);
    }
    EXPECT_GT(found, 0U);
  }
}

TEST(CApiTest, EveryFormatTurnAndMirrorImageGivesWhatThePipelineGives) {
  const auto expected = open_pipeline(test_bundle("top_down"), 1);
  const PipelineHandle pipeline = open_c("top_down");
  const FrameHandle frame(edgepose_frame_new());
  for (int format = EDGEPOSE_BGR; format <= EDGEPOSE_YUV420; ++format) {
    CameraPicture picture(static_cast<PixelFormat>(format), 64, 48);
    for (const int rotation_deg : {0, 90, 180, 270}) {
      for (const bool mirrored : {false, true}) {
        picture.view.rotation_deg = rotation_deg;
        picture.view.mirrored = mirrored;
        picture.view.colour = mirrored ? YuvColour::kBt709Limited : YuvColour::kBt601Full;
        std::vector<Pose> poses;
        ASSERT_TRUE(expected->process(picture.view, 0, &poses).ok());
        const edgepose_image image = image_of(picture.view);
        ASSERT_EQ(edgepose_process(pipeline.get(), &image, 0, frame.get()), EDGEPOSE_OK)
            << edgepose_last_error();
        expect_same(frame.get(), poses);
      }
    }
  }
}

TEST(CApiTest, GivenBoxesReplaceTheDetector) {
  const auto expected = open_pipeline(test_bundle("pose_3d"), 1);
  const PipelineHandle pipeline = open_c("pose_3d");
  const FrameHandle frame(edgepose_frame_new());
  const TestPicture picture(64, 48, 1);
  const float boxes[] = {4, 5, 30, 40, 10.5F, 3, 60, 44};
  const BoxXyxy same_boxes[] = {{4, 5, 30, 40}, {10.5F, 3, 60, 44}};
  std::vector<Pose> poses;
  ASSERT_TRUE(expected->process_boxes(picture.view(), 0, {same_boxes, 2}, &poses).ok());
  const edgepose_image image = image_of(picture.view());
  ASSERT_EQ(edgepose_process_boxes(pipeline.get(), &image, 0, boxes, 2, frame.get()), EDGEPOSE_OK);
  expect_same(frame.get(), poses);
  ASSERT_EQ(edgepose_process_boxes(pipeline.get(), &image, 0, nullptr, 0, frame.get()),
            EDGEPOSE_OK);
  size_t count = 9;
  edgepose_frame_persons(frame.get(), &count);
  EXPECT_EQ(count, 0U);
}

TEST(CApiTest, OptionsReachThePipeline) {
  edgepose_options options = EDGEPOSE_OPTIONS_INIT;
  options.threads = 2;
  options.track = 1;
  options.smooth = 1;
  options.detect_every = 2;
  options.detect_delay = 1;
  options.device = "CPU";
  edgepose_pipeline* refused = nullptr;
  EXPECT_EQ(edgepose_open(test_bundle("top_down").c_str(), &options, &refused),
            EDGEPOSE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(edgepose_last_error()).find("no \"tracking\" member"), std::string::npos);
  EXPECT_NE(std::string(edgepose_last_hint()), "");
  options.tracking_json = "{}";
  EXPECT_EQ(edgepose_open(test_bundle("top_down").c_str(), &options, &refused),
            EDGEPOSE_INVALID_ARGUMENT);
  EXPECT_EQ(std::string(edgepose_last_error()), "tracking.match_similarity is missing");
  EXPECT_EQ(std::string(edgepose_last_hint()),
            "give all members of \"tracking\", as docs/bundle-format.md lists them");
  options.tracking_json =
      R"({"match_similarity": 0.2, "keypoint_weight": 0.5, "nms_oks": 0.85, "birth_box_score": 0.4,
          "loss_keypoint_score": 0.3, "max_lost_s": 1, "max_prediction_s": 0.7,
          "velocity_time_s": 0.2, "uncertainty_time_s": 0.4, "pose_box_padding": 1.2,
          "pose_box_pull": 0.1, "scene_change_levels": 30, "smoothing": {"min_cutoff_hz": 0.6,
          "cutoff_per_speed": 6, "derivative_cutoff_hz": 1, "hold_s": 0.1}})";
  const PipelineHandle pipeline = open_c("top_down", &options);
  const auto expected = open_tracking(test_bundle("top_down"), 1, true, 2, 1);
  ASSERT_TRUE(pipeline != nullptr && expected != nullptr);
  const FrameHandle frame(edgepose_frame_new());
  const TestPicture picture(64, 48, 1);
  const edgepose_image image = image_of(picture.view());
  int tracked = 0;
  for (int64_t i = 1; i < 9; ++i) {
    std::vector<Pose> poses;
    ASSERT_TRUE(expected->process(picture.view(), i * 33000000, &poses).ok());
    ASSERT_EQ(edgepose_process(pipeline.get(), &image, i * 33000000, frame.get()), EDGEPOSE_OK);
    expect_same(frame.get(), poses);
    for (const Pose& pose : poses) tracked += pose.track_id >= 1 ? 1 : 0;
  }
  EXPECT_GT(tracked, 0);
  EXPECT_EQ(edgepose_process(pipeline.get(), &image, 1, frame.get()), EDGEPOSE_INVALID_ARGUMENT);
  size_t count = 9;
  edgepose_frame_persons(frame.get(), &count);
  EXPECT_EQ(count, 0U) << "after a failure the frame is empty";
  EXPECT_EQ(edgepose_frame_timings(frame.get()).pose_ns, 0);
  ASSERT_EQ(edgepose_reset(pipeline.get()), EDGEPOSE_OK);
  EXPECT_EQ(edgepose_process(pipeline.get(), &image, 1, frame.get()), EDGEPOSE_OK);
}

TEST(CApiTest, FactsOfABundle) {
  const PipelineHandle pipeline = open_c("top_down");
  const Bundle bundle = Bundle::open(test_bundle("top_down")).value();
  const auto& head = std::get<SimccHead>(bundle.model("pose")->head);
  ASSERT_EQ(edgepose_keypoint_count(pipeline.get()), head.keypoints.size());
  for (size_t k = 0; k < head.keypoints.size(); ++k)
    EXPECT_EQ(edgepose_keypoint_name(pipeline.get(), k), head.keypoints[k]);
  EXPECT_STREQ(edgepose_keypoint_name(pipeline.get(), head.keypoints.size()), "");
  size_t pairs = 0;
  const int32_t* skeleton = edgepose_skeleton(pipeline.get(), &pairs);
  ASSERT_EQ(pairs, head.skeleton.size());
  for (size_t i = 0; i < pairs; ++i) {
    EXPECT_EQ(skeleton[2 * i], head.skeleton[i].first);
    EXPECT_EQ(skeleton[2 * i + 1], head.skeleton[i].second);
  }
  EXPECT_EQ(edgepose_keypoint_score_threshold(pipeline.get()),
            bundle.pipeline().keypoint_score_threshold);
  edgepose_verification verification;
  ASSERT_EQ(edgepose_verify(pipeline.get(), &verification), EDGEPOSE_OK);
  EXPECT_EQ(verification.passed, 1);
  EXPECT_LE(verification.keypoint_max_px, 1e-3);
  EXPECT_EQ(edgepose_keypoint_count(open_c("detect").get()), 0U);
  EXPECT_EQ(edgepose_abi_version(), EDGEPOSE_ABI_VERSION);
  EXPECT_STREQ(edgepose_version(), EDGEPOSE_VERSION);
}

class CApiGoldenTest : public WrongGoldenTest {};

TEST_F(CApiGoldenTest, AVerificationIsThatOfThePipeline) {
  float shift_px = 0.001F;
  for (auto& pose : golden_["poses"]) {
    for (auto& point : pose) point[0] = point[0].get<float>() + (shift_px *= 2);
  }
  auto& box = golden_["detections"][0];
  box[0] = box[0].get<float>() + 0.5F;
  const GoldenReport expected = verify();
  EXPECT_FALSE(expected.passed);
  EXPECT_LT(0, expected.box_mean_px);
  EXPECT_LT(expected.box_mean_px, expected.box_max_px);
  EXPECT_LT(0, expected.keypoint_mean_px);
  EXPECT_LT(expected.keypoint_mean_px, expected.keypoint_max_px);
  edgepose_pipeline* opened = nullptr;
  ASSERT_EQ(edgepose_open(folder_.c_str(), nullptr, &opened), EDGEPOSE_OK);
  const PipelineHandle pipeline(opened);
  edgepose_verification found;
  ASSERT_EQ(edgepose_verify(pipeline.get(), &found), EDGEPOSE_OK);
  EXPECT_EQ(found.passed, 0);
  EXPECT_EQ(found.tolerance_px, expected.tolerance_px);
  EXPECT_EQ(found.box_mean_px, expected.box_mean_px);
  EXPECT_EQ(found.box_max_px, expected.box_max_px);
  EXPECT_EQ(found.keypoint_mean_px, expected.keypoint_mean_px);
  EXPECT_EQ(found.keypoint_max_px, expected.keypoint_max_px);
}

TEST(CApiTest, CodesAreThoseOfTheLibrary) {
  for (int32_t code = 0; code <= EDGEPOSE_INTERNAL; ++code)
    EXPECT_STREQ(edgepose_code_name(code), code_name(static_cast<Code>(code)));
  EXPECT_EQ(static_cast<int>(EDGEPOSE_INTERNAL), static_cast<int>(Code::kInternal));
  EXPECT_STREQ(edgepose_code_name(8), "unknown");
  EXPECT_STREQ(edgepose_code_name(-1), "unknown");
}

TEST(CApiTest, WrongArgumentsAreNamed) {
  const PipelineHandle pipeline = open_c("top_down");
  const FrameHandle frame(edgepose_frame_new());
  const TestPicture picture(64, 48, 1);
  const edgepose_image image = image_of(picture.view());
  const auto refused = [](edgepose_code code, const char* what) {
    EXPECT_EQ(code, EDGEPOSE_INVALID_ARGUMENT) << what;
    EXPECT_NE(std::string(edgepose_last_error()).find(what), std::string::npos)
        << edgepose_last_error();
  };
  auto* const none = reinterpret_cast<edgepose_pipeline*>(1);
  edgepose_pipeline* opened = none;
  refused(edgepose_open(nullptr, nullptr, &opened), "bundle is NULL");
  EXPECT_EQ(opened, nullptr);
  refused(edgepose_open("x", nullptr, nullptr), "pipeline is NULL");
  for (const bool without_pipeline : {true, false}) {  // what an earlier picture gave does not stay
    ASSERT_EQ(edgepose_process(pipeline.get(), &image, 0, frame.get()), EDGEPOSE_OK);
    ASSERT_GT(count_of(frame.get()), 0U);
    refused(without_pipeline ? edgepose_process(nullptr, &image, 0, frame.get())
                             : edgepose_process(pipeline.get(), nullptr, 0, frame.get()),
            without_pipeline ? "pipeline is NULL" : "image is NULL");
    EXPECT_EQ(count_of(frame.get()), 0U);
    EXPECT_EQ(edgepose_frame_timings(frame.get()).total_ns, 0);
  }
  refused(edgepose_process(pipeline.get(), &image, 0, nullptr), "frame is NULL");
  refused(edgepose_process_boxes(pipeline.get(), &image, 0, nullptr, 1, frame.get()),
          "boxes is NULL");
  refused(edgepose_verify(pipeline.get(), nullptr), "verification is NULL");
  refused(edgepose_verify(nullptr, nullptr), "pipeline is NULL");
  refused(edgepose_reset(nullptr), "pipeline is NULL");
  edgepose_options options = EDGEPOSE_OPTIONS_INIT;
  edgepose_image wrong = image;
  // Larger ones are a newer version's, whose last members would have no effect.
  for (const bool larger : {false, true}) {
    options.struct_size = larger ? sizeof(options) + 8 : 4;
    const std::string size = "->struct_size is " + std::to_string(options.struct_size);
    refused(edgepose_open(test_bundle("pose").c_str(), &options, &opened),
            ("options" + size).c_str());
    wrong.struct_size = larger ? sizeof(wrong) + 8 : 4;
    refused(edgepose_process(pipeline.get(), &wrong, 0, frame.get()), "image->struct_size is ");
  }
  for (const int32_t format : {-1, 7, 1 << 30}) {
    wrong = image;
    wrong.format = format;
    EXPECT_EQ(edgepose_process(pipeline.get(), &wrong, 0, frame.get()), EDGEPOSE_INVALID_ARGUMENT);
  }
  options = EDGEPOSE_OPTIONS_INIT;
  options.threads = 0;
  const std::string folder = test_bundle("pose");
  refused(edgepose_open(folder.c_str(), &options, &opened), "threads is 0");
  options = EDGEPOSE_OPTIONS_INIT;
  options.device = "TPU";
  EXPECT_EQ(edgepose_open(folder.c_str(), &options, &opened), EDGEPOSE_UNSUPPORTED);
  const CameraPicture camera(PixelFormat::kYuv420, 64, 48);
  for (size_t edgepose_image::*bytes :
       {&edgepose_image::data_bytes, &edgepose_image::u_bytes, &edgepose_image::v_bytes}) {
    wrong = image_of(camera.view);
    wrong.*bytes -= 1;
    refused(edgepose_process(pipeline.get(), &wrong, 0, frame.get()), "its size and strides need");
  }
  wrong = image;
  wrong.width_px = 0;
  EXPECT_EQ(edgepose_process(pipeline.get(), &wrong, 0, frame.get()), EDGEPOSE_INVALID_ARGUMENT);
  EXPECT_EQ(edgepose_open("/no/such/bundle", nullptr, &opened), EDGEPOSE_IO);
  EXPECT_NE(std::string(edgepose_last_error()).find("/no/such/bundle"), std::string::npos);
  edgepose_close(nullptr);
  edgepose_frame_free(nullptr);
  size_t count = 9;
  EXPECT_EQ(edgepose_frame_persons(nullptr, &count), nullptr);
  EXPECT_EQ(count, 0U);
  EXPECT_EQ(edgepose_frame_timings(nullptr).total_ns, 0);
  EXPECT_EQ(edgepose_keypoint_count(nullptr), 0U);
  EXPECT_STREQ(edgepose_keypoint_name(nullptr, 0), "");
  EXPECT_EQ(edgepose_skeleton(nullptr, nullptr), nullptr);
  EXPECT_STREQ(edgepose_bundle_name(nullptr), "");
  EXPECT_STREQ(edgepose_bundle_digest(nullptr), "");
  EXPECT_EQ(edgepose_keypoint_score_threshold(nullptr), 0);
}

TEST(CApiTest, ASecondThreadGetsAnErrorWithATextOfItsOwn) {
  const PipelineHandle pipeline = open_c("top_down");
  const PipelineHandle unused = open_c("pose");
  const TestPicture picture(64, 48, 1);
  const edgepose_image image = image_of(picture.view());
  // With one frame for both the frame refuses, with two the pipeline does.
  for (const bool share_frame : {false, true}) {
    const FrameHandle first(edgepose_frame_new()), second(edgepose_frame_new());
    EXPECT_EQ(edgepose_process(unused.get(), nullptr, 0, first.get()), EDGEPOSE_INVALID_ARGUMENT);
    const std::string mine = edgepose_last_error();
    std::atomic<int> busy{0}, wrong{0};
    const auto work = [&](edgepose_frame* frame) {
      for (int i = 0; i < 20000 && busy < 10; ++i) {
        const edgepose_code code = edgepose_process(pipeline.get(), &image, 0, frame);
        if (code == EDGEPOSE_OK) continue;
        const bool says_so =
            std::strstr(edgepose_last_error(), "in use by another thread") != nullptr;
        ++(code == EDGEPOSE_INVALID_ARGUMENT && says_so ? busy : wrong);
      }
    };
    std::thread a(work, first.get());
    std::thread b(work, share_frame ? first.get() : second.get());
    a.join();
    b.join();
    EXPECT_GT(busy, 0);
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(edgepose_last_error(), mine);
  }
}

TEST(CApiTest, AForkedProcessIsRefusedAndEndsWithoutWaiting) {
  edgepose_options options = EDGEPOSE_OPTIONS_INIT;
  options.threads = 2;
  const PipelineHandle pipeline = open_c("top_down", &options);
  const FrameHandle frame(edgepose_frame_new());
  const TestPicture picture(64, 48, 1);
  const edgepose_image image = image_of(picture.view());
  ASSERT_EQ(edgepose_process(pipeline.get(), &image, 0, frame.get()), EDGEPOSE_OK);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // ends it where it waits for threads that are not there
    int wrong = 0;
    edgepose_verification verification;
    for (const edgepose_code code :
         {edgepose_process(pipeline.get(), &image, 1, frame.get()), edgepose_reset(pipeline.get()),
          edgepose_verify(pipeline.get(), &verification)}) {
      const bool says_so =
          std::strstr(edgepose_last_error(), "was opened in another process") != nullptr;
      wrong += code == EDGEPOSE_INVALID_ARGUMENT && says_so ? 0 : 1;
    }
    edgepose_close(pipeline.get());
    _exit(wrong);
  }
  int ended = -1;
  ASSERT_EQ(waitpid(child, &ended, 0), child);
  EXPECT_TRUE(WIFEXITED(ended)) << "signal " << WTERMSIG(ended);
  EXPECT_EQ(WEXITSTATUS(ended), 0);
  EXPECT_EQ(edgepose_process(pipeline.get(), &image, 1, frame.get()), EDGEPOSE_OK);
}

}  // namespace
}  // namespace edgepose
