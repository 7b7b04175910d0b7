// The bodies of a DccKernels table, compiled once per instruction set: the including file sets
// EDGEPOSE_DCC_LANES (floats in a vector register) and includes this inside namespace edgepose and
// an unnamed one. No functions of the standard library here: the linker might keep a copy that
// needs the wider instruction set.

typedef float Vector __attribute__((vector_size(4 * EDGEPOSE_DCC_LANES)));
typedef int IntVector __attribute__((vector_size(4 * EDGEPOSE_DCC_LANES)));
typedef float Unaligned __attribute__((vector_size(4 * EDGEPOSE_DCC_LANES), aligned(4), may_alias));

constexpr int kLanes = EDGEPOSE_DCC_LANES;
constexpr int kVectors = kPanel / kLanes;

inline Vector load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void store(float* p, Vector v) { *reinterpret_cast<Unaligned*>(p) = v; }
inline Vector all(float x) { return x - Vector{}; }
inline Vector select(IntVector mask, Vector yes, Vector no) {
  return reinterpret_cast<Vector>((reinterpret_cast<IntVector>(yes) & mask) |
                                  (reinterpret_cast<IntVector>(no) & ~mask));
}

// Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number (|x| < 2^22).
inline Vector nearest(Vector x) { return (x + 12582912.0f) - 12582912.0f; }

inline float sum_of(Vector v) {
  float total = 0;
  for (int i = 0; i < kLanes; ++i) total += v[i];
  return total;
}

// exp by 2^n * exp(r), |r| <= ln 2 / 2, and the Taylor series of exp(r).
inline Vector exponential(Vector x) {
  x = select(x > 88.0f, all(88.0f), x);
  x = select(x < -87.0f, all(-87.0f), x);
  const Vector n = nearest(x * 1.44269504f);
  const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  Vector y = r * (1.0f / 5040) + (1.0f / 720);
  y = y * r + (1.0f / 120);
  y = y * r + (1.0f / 24);
  y = y * r + (1.0f / 6);
  y = y * r + 0.5f;
  y = y * r + 1.0f;
  y = y * r + 1.0f;
  const IntVector power = (__builtin_convertvector(n, IntVector) + 127) << 23;
  return y * reinterpret_cast<Vector>(power);
}

template <int kRows>
inline void multiply_rows(const float* a, ptrdiff_t a_stride, const float* b, ptrdiff_t b_stride,
                          const float* bias, int depth, float* c, ptrdiff_t c_stride) {
  Vector sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = bias == nullptr ? Vector{} : load(bias + v * kLanes);
  }
  for (int k = 0; k < depth; ++k, b += b_stride) {
    Vector right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = load(b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector left = all(a[r * a_stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(c + r * c_stride + v * kLanes, sum[r][v]);
  }
}

// Six rows of one panel fill the registers; rows are shared out evenly.
void multiply(Matrix a, Panels b, const float* bias, int rows, int columns, int depth, float* c,
              ptrdiff_t c_stride) {
  const int groups = (rows + 5) / 6;
  for (int panel = 0; panel < columns / kPanel; ++panel) {
    const float* right = b.values + panel * b.panel_stride;
    const float* offset = bias == nullptr ? nullptr : bias + panel * kPanel;
    for (int group = 0; group < groups; ++group) {
      const int first = rows * group / groups;
      const float* left = a.values + first * a.row_stride;
      float* out = c + first * c_stride + panel * kPanel;
      const auto run = [&](auto kernel) {
        kernel(left, a.row_stride, right, b.row_stride, offset, depth, out, c_stride);
      };
      switch (rows * (group + 1) / groups - first) {
        case 1:
          run(multiply_rows<1>);
          break;
        case 2:
          run(multiply_rows<2>);
          break;
        case 3:
          run(multiply_rows<3>);
          break;
        case 4:
          run(multiply_rows<4>);
          break;
        case 5:
          run(multiply_rows<5>);
          break;
        default:
          run(multiply_rows<6>);
          break;
      }
    }
  }
}

void silu(float* x, int count) {
  for (int i = 0; i < count; i += kLanes) {
    const Vector v = load(x + i);
    store(x + i, v / (exponential(-v) + 1.0f));
  }
}

// Quarter turns are taken off first; Taylor series within an eighth of a turn.
void sine_cosine(const float* turns, int count, float* sine, float* cosine) {
  for (int i = 0; i < count; i += kLanes) {
    const Vector t = load(turns + i);
    const Vector quarters = nearest(t * 4.0f);
    const Vector x = (t - quarters * 0.25f) * 6.28318531f;
    const Vector xx = x * x;
    Vector s = xx * (1.0f / 362880) - (1.0f / 5040);
    s = s * xx + (1.0f / 120);
    s = s * xx - (1.0f / 6);
    s = s * xx * x + x;
    Vector c = xx * (-1.0f / 3628800) + (1.0f / 40320);
    c = c * xx - (1.0f / 720);
    c = c * xx + (1.0f / 24);
    c = c * xx - 0.5f;
    c = c * xx + 1.0f;
    const IntVector quadrant = __builtin_convertvector(quarters, IntVector);
    const IntVector odd = (quadrant & 1) != 0;
    const IntVector sine_sign = (quadrant & 2) << 30, cosine_sign = ((quadrant + 1) & 2) << 30;
    store(sine + i,
          reinterpret_cast<Vector>(reinterpret_cast<IntVector>(select(odd, c, s)) ^ sine_sign));
    store(cosine + i,
          reinterpret_cast<Vector>(reinterpret_cast<IntVector>(select(odd, s, c)) ^ cosine_sign));
  }
}

void rotate(const float* a_sine, const float* a_cosine, const float* b_sine, const float* b_cosine,
            int periods, float* panel) {
  for (int p = 0; p < periods; ++p) {
    const Vector s = all(a_sine[p]), c = all(a_cosine[p]);
    for (int v = 0; v < kVectors; ++v) {
      const Vector bs = load(b_sine + p * kPanel + v * kLanes),
                   bc = load(b_cosine + p * kPanel + v * kLanes);
      store(panel + p * kPanel + v * kLanes, c * bc - s * bs);
      store(panel + (periods + p) * kPanel + v * kLanes, s * bc + c * bs);
    }
  }
}

float expected_index(const float* logits, int count) {
  const int whole = count / kLanes * kLanes;
  float highest = logits[0];
  if (whole > 0) {
    Vector high = load(logits);
    for (int i = kLanes; i < whole; i += kLanes) {
      const Vector v = load(logits + i);
      high = select(v > high, v, high);
    }
    for (int i = 0; i < kLanes; ++i) highest = high[i] > highest ? high[i] : highest;
  }
  int i = whole;
  for (; i < count; ++i) highest = logits[i] > highest ? logits[i] : highest;
  Vector index = {}, weights = {}, moments = {};
  for (i = 0; i < kLanes; ++i) index[i] = static_cast<float>(i);
  for (i = 0; i < whole; i += kLanes, index += static_cast<float>(kLanes)) {
    const Vector w = exponential(load(logits + i) - highest);
    weights += w;
    moments += w * index;
  }
  float weight = sum_of(weights), moment = sum_of(moments);
  for (; i < count; ++i) {
    const float w = exponential(all(logits[i] - highest))[0];
    weight += w;
    moment += w * static_cast<float>(i);
  }
  return moment / weight;
}

float dot(const float* a, const float* b, int count) {
  Vector sum[2] = {};
  for (int i = 0; i < count; i += kPanel) {
    for (int v = 0; v < kVectors; ++v)
      sum[v & 1] += load(a + i + v * kLanes) * load(b + i + v * kLanes);
  }
  return sum_of(sum[0] + sum[1]);
}

constexpr DccKernels table(const char* name) {
  return {name, multiply, silu, sine_cosine, rotate, expected_index, dot};
}
