// Finds, follows and smooths the persons of a video. The frames come on standard input as BGR bytes:
//
//   ffmpeg -i street.mp4 -f rawvideo -pix_fmt bgr24 - | poses BUNDLE 1280 720 30
//
// One line a person: frame, track id, box (x1 y1 x2 y2 score), then x y score of every keypoint.

#include <edgepose.h>
#include <stdio.h>
#include <stdlib.h>

static int report(const char* what) {
  fprintf(stderr, "poses: %s: %s", what, edgepose_last_error());
  if (edgepose_last_hint()[0] != '\0') fprintf(stderr, " (%s)", edgepose_last_hint());
  fputc('\n', stderr);
  return 1;
}

static void print_person(long frame, const edgepose_person* person, size_t points) {
  printf("%ld %lld %.9g %.9g %.9g %.9g %.9g", frame, (long long)person->track_id, person->x1_px,
         person->y1_px, person->x2_px, person->y2_px, person->box_score);
  for (size_t k = 0; k < points; ++k) {
    const edgepose_keypoint* point = &person->keypoints[k];
    printf(" %.9g %.9g %.9g", point->x_px, point->y_px, point->score);
  }
  putchar('\n');
}

// Returns the exit code.
static int run(edgepose_pipeline* pipeline, edgepose_frame* frame, uint8_t* pixels, int width_px,
               int height_px, double fps) {
  edgepose_image image = EDGEPOSE_IMAGE_INIT;
  image.data = pixels;
  image.width_px = width_px;
  image.height_px = height_px;
  image.row_stride_bytes = (ptrdiff_t)width_px * 3;
  image.data_bytes = (size_t)width_px * (size_t)height_px * 3;
  const size_t points = edgepose_keypoint_count(pipeline);
  for (long index = 0;; ++index) {
    const size_t bytes = fread(pixels, 1, image.data_bytes, stdin);
    if (bytes == 0) break;
    if (bytes != image.data_bytes) {
      fprintf(stderr, "poses: frame %ld ends after %zu of %zu bytes\n", index, bytes,
              image.data_bytes);
      return 1;
    }
    const int64_t time_ns = (int64_t)((double)index * 1e9 / fps);
    if (edgepose_process(pipeline, &image, time_ns, frame) != EDGEPOSE_OK) return report("a frame");
    size_t count = 0;
    const edgepose_person* persons = edgepose_frame_persons(frame, &count);
    for (size_t i = 0; i < count; ++i) print_person(index, &persons[i], points);
  }
  if (ferror(stdin)) {
    fputs("poses: the frames cannot be read\n", stderr);
    return 1;
  }
  if (fflush(stdout) != 0 || ferror(stdout)) {
    fputs("poses: the persons cannot be written\n", stderr);
    return 1;
  }
  return 0;
}

int main(int argc, char** argv) {
  const int width_px = argc == 5 ? atoi(argv[2]) : 0;
  const int height_px = argc == 5 ? atoi(argv[3]) : 0;
  const double fps = argc == 5 ? atof(argv[4]) : 0;
  if (width_px < 1 || height_px < 1 || width_px > 32767 || height_px > 32767 || !(fps > 0)) {
    fputs("usage: poses BUNDLE WIDTH HEIGHT FPS < frames.bgr\n", stderr);
    return 2;
  }
  if (edgepose_abi_version() != EDGEPOSE_ABI_VERSION) {
    fputs("poses: the library is of another version than edgepose.h\n", stderr);
    return 1;
  }
  edgepose_options options = EDGEPOSE_OPTIONS_INIT;
  options.threads = 2;
  options.track = 1;
  options.smooth = 1;
  options.detect_every = 2;
  edgepose_pipeline* pipeline = NULL;
  if (edgepose_open(argv[1], &options, &pipeline) != EDGEPOSE_OK) return report(argv[1]);
  edgepose_frame* frame = edgepose_frame_new();
  uint8_t* pixels = malloc((size_t)width_px * (size_t)height_px * 3);
  int code = 1;
  if (frame == NULL || pixels == NULL) {
    fputs("poses: out of memory\n", stderr);
  } else {
    code = run(pipeline, frame, pixels, width_px, height_px, fps);
  }
  free(pixels);
  edgepose_frame_free(frame);
  edgepose_close(pipeline);
  return code;
}
