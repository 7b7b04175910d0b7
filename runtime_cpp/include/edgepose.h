// EdgePose for C and for every language that calls C: a bundle in use, pictures in, persons out.
//
// Functions that can fail return EDGEPOSE_OK or another edgepose_code. A failed one leaves its
// outputs as they were, but for a frame, which is empty then, and the pipeline of edgepose_open,
// which is NULL then; edgepose_last_error() and edgepose_last_hint() tell the calling thread why.
//
// Threads: a pipeline and a frame serve one call at a time; a second thread that enters gets
// EDGEPOSE_INVALID_ARGUMENT. Different pipelines with different frames are independent. Nothing may
// use a pipeline or a frame that another thread closes, nor read a frame that another thread fills.
//
// Processes: a pipeline belongs to the one that opened it; a process that is forked later gets
// EDGEPOSE_INVALID_ARGUMENT, and frees nothing when it closes the pipeline.
//
// Strings are UTF-8. Coordinates are pixels of the upright picture.

#ifndef EDGEPOSE_H_
#define EDGEPOSE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Raised with every incompatible change; the library's file name carries it. What a structure holds
// changes with it only, except at the end of those that state their size.
#define EDGEPOSE_ABI_VERSION 1

#if defined(__GNUC__)
#define EDGEPOSE_API __attribute__((visibility("default")))
#else
#define EDGEPOSE_API
#endif

typedef enum edgepose_code {
  EDGEPOSE_OK = 0,
  EDGEPOSE_INVALID_ARGUMENT = 1,
  EDGEPOSE_INVALID_BUNDLE = 2,
  EDGEPOSE_CHECKSUM_MISMATCH = 3,
  EDGEPOSE_UNSUPPORTED = 4,
  EDGEPOSE_BACKEND_FAILURE = 5,
  EDGEPOSE_IO = 6,
  EDGEPOSE_INTERNAL = 7
} edgepose_code;

// Packed pixels, or a camera's YUV 4:2:0: NV12 and NV21 have a luma plane and one of interleaved
// chroma, U or V first; YUV420 has three planes, the chroma ones with a pixel stride.
enum {
  EDGEPOSE_BGR = 0,
  EDGEPOSE_RGB = 1,
  EDGEPOSE_BGRA = 2,
  EDGEPOSE_RGBA = 3,
  EDGEPOSE_NV12 = 4,
  EDGEPOSE_NV21 = 5,
  EDGEPOSE_YUV420 = 6
};

// How YUV becomes RGB.
enum { EDGEPOSE_BT601_FULL = 0, EDGEPOSE_BT601_LIMITED = 1, EDGEPOSE_BT709_LIMITED = 2 };

typedef struct edgepose_pipeline edgepose_pipeline;  // an open bundle
typedef struct edgepose_frame edgepose_frame;        // the persons of one picture, reused

typedef struct edgepose_options {
  size_t struct_size;    // sizeof(edgepose_options)
  int32_t threads;       // 1 to 256
  int32_t track;         // not 0: pictures are the frames of one video, and persons keep their ids
  int32_t smooth;        // not 0: One Euro filtered keypoints; needs track
  // The detector runs on every n-th frame; above 1 it needs track, and a bundle of a detector and a
  // pose network: not RTMO.
  int32_t detect_every;
  const char* device;    // NULL: "CPU"
  const char* tracking_json;  // a "tracking" member in place of the bundle's; NULL: the bundle's
  // Above 0 the detector works on a thread of its own, beside the poses: what it finds in a frame
  // counts this many frames later, at most detect_every. It needs what detect_every above 1 needs.
  int32_t detect_delay;
} edgepose_options;

#define EDGEPOSE_OPTIONS_INIT \
  { sizeof(edgepose_options), 1, 0, 0, 1, NULL, NULL, 0 }

// An 8-bit picture that the caller owns; borrowed for the duration of one call.
typedef struct edgepose_image {
  size_t struct_size;   // sizeof(edgepose_image)
  const uint8_t* data;  // packed pixels, or luma
  const uint8_t* u;     // YUV only; the interleaved plane of NV12 and NV21
  const uint8_t* v;     // YUV420 only
  int32_t width_px;     // as stored, before the rotation; 1 to 32767
  int32_t height_px;
  int32_t format;        // EDGEPOSE_BGR ...
  int32_t colour;        // YUV only: EDGEPOSE_BT601_FULL ...
  int32_t rotation_deg;  // the clockwise turn that makes it upright: 0, 90, 180 or 270
  int32_t mirrored;      // not 0: the upright picture is flipped left to right
  ptrdiff_t row_stride_bytes;
  ptrdiff_t chroma_row_stride_bytes;    // YUV only
  ptrdiff_t chroma_pixel_stride_bytes;  // YUV420 only
  size_t data_bytes;                    // length of the plane; 0: the caller vouches for it
  size_t u_bytes;
  size_t v_bytes;
} edgepose_image;

#define EDGEPOSE_IMAGE_INIT \
  { sizeof(edgepose_image), NULL, NULL, NULL, 0, 0, EDGEPOSE_BGR, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

typedef struct edgepose_keypoint {
  float x_px, y_px;
  float score;  // 0: missing
} edgepose_keypoint;

typedef struct edgepose_person {
  float x1_px, y1_px, x2_px, y2_px;  // the box
  float box_score;
  int64_t track_id;                    // -1: not tracked
  const edgepose_keypoint* keypoints;  // edgepose_keypoint_count() of them
  // NULL for 2-D networks; else depths in metres, relative to the middle of the hips (points 11 and
  // 12): larger is farther. Camera coordinates need the camera and the hips' distance besides.
  const float* z_m;
} edgepose_person;

typedef struct edgepose_timings {
  int64_t detector_preprocess_ns;
  int64_t detector_ns;
  int64_t detector_decode_ns;
  int64_t pose_preprocess_ns;
  int64_t pose_ns;
  int64_t pose_decode_ns;
  int64_t total_ns;
} edgepose_timings;

// How far a pipeline is from the results that its bundle carries.
typedef struct edgepose_verification {
  int32_t passed;  // 1 or 0
  float tolerance_px;
  double box_mean_px;
  double box_max_px;
  // Of the places or, where these are farther off, of the depths.
  double keypoint_mean_px;
  double keypoint_max_px;
} edgepose_verification;

EDGEPOSE_API int32_t edgepose_abi_version(void);
EDGEPOSE_API const char* edgepose_version(void);  // "0.1.0"

// The stable name of a code, such as "invalid_bundle"; "unknown" for other numbers.
EDGEPOSE_API const char* edgepose_code_name(int32_t code);

// What went wrong in the last failed call of this thread, in one line, and what helps; "" where
// nothing did. Valid until the thread's next failed call.
EDGEPOSE_API const char* edgepose_last_error(void);
EDGEPOSE_API const char* edgepose_last_hint(void);

// Opens a bundle folder, verifies its files and loads its networks. options may be NULL.
// *pipeline is NULL after a failure.
EDGEPOSE_API edgepose_code edgepose_open(const char* bundle, const edgepose_options* options,
                                         edgepose_pipeline** pipeline);
EDGEPOSE_API void edgepose_close(edgepose_pipeline* pipeline);  // NULL: nothing happens

// Facts of the open bundle. Strings and arrays live as long as the pipeline.
EDGEPOSE_API const char* edgepose_bundle_name(const edgepose_pipeline* pipeline);
// The SHA-256 that stands for the whole bundle: manifest_sha256 of its bundle.json.
EDGEPOSE_API const char* edgepose_bundle_digest(const edgepose_pipeline* pipeline);
EDGEPOSE_API float edgepose_keypoint_score_threshold(const edgepose_pipeline* pipeline);
EDGEPOSE_API size_t edgepose_keypoint_count(const edgepose_pipeline* pipeline);  // 0: boxes alone
EDGEPOSE_API const char* edgepose_keypoint_name(const edgepose_pipeline* pipeline, size_t index);
// Pairs of keypoint numbers, one after the other; *pair_count receives how many pairs there are.
EDGEPOSE_API const int32_t* edgepose_skeleton(const edgepose_pipeline* pipeline,
                                              size_t* pair_count);

EDGEPOSE_API edgepose_frame* edgepose_frame_new(void);         // NULL: out of memory
EDGEPOSE_API void edgepose_frame_free(edgepose_frame* frame);  // NULL: nothing happens

// Finds the persons of a picture and their keypoints, best box first. A bundle with no detector
// takes the whole picture as one person. time_ns is when the picture was taken, on any clock; with
// tracking it must rise. After a failure the frame is empty.
EDGEPOSE_API edgepose_code edgepose_process(edgepose_pipeline* pipeline,
                                            const edgepose_image* image, int64_t time_ns,
                                            edgepose_frame* frame);
// The same for persons whose boxes are known, four numbers each: x1, y1, x2, y2.
EDGEPOSE_API edgepose_code edgepose_process_boxes(edgepose_pipeline* pipeline,
                                                  const edgepose_image* image, int64_t time_ns,
                                                  const float* boxes, size_t box_count,
                                                  edgepose_frame* frame);

// The persons of a frame; *count receives their number. Valid until the frame is filled again or
// freed.
EDGEPOSE_API const edgepose_person* edgepose_frame_persons(const edgepose_frame* frame,
                                                           size_t* count);
EDGEPOSE_API edgepose_timings edgepose_frame_timings(const edgepose_frame* frame);

// Runs the bundle's own picture and compares. A difference is no error: see passed.
EDGEPOSE_API edgepose_code edgepose_verify(edgepose_pipeline* pipeline,
                                           edgepose_verification* verification);
// Forgets all earlier frames, for example between two videos.
EDGEPOSE_API edgepose_code edgepose_reset(edgepose_pipeline* pipeline);

#ifdef __cplusplus
}
#endif

#endif  // EDGEPOSE_H_
