#include "engines/rknn_layout.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace edgepose::rknn {
namespace {

int64_t type_bytes(int32_t type) {
  if (type == kFloat32) return 4;
  if (type == kFloat16 || type == kInt16) return 2;
  return type == kInt8 || type == kUint8 ? 1 : 0;
}

bool is_integer(int32_t type) { return type == kInt8 || type == kUint8 || type == kInt16; }

// Where the element (channel, row, column) lies, in elements.
class Place {
 public:
  Place(const TensorAttr& attr, const Shape& shape) : shape_(shape), layout_(attr.layout) {
    if (layout_ == kNc1hwc2) {
      block_ = attr.dims[4];
      width_ = attr.dims[3];
      height_ = attr.dims[2];
    } else {
      const bool strided = layout_ == kNhwc && attr.row_stride != 0;
      width_ = strided ? attr.row_stride : shape.width;
      height_ = shape.height;
    }
  }

  int64_t operator()(int64_t channel, int64_t row, int64_t column) const {
    switch (layout_) {
      case kNc1hwc2:
        return (((channel / block_) * height_ + row) * width_ + column) * block_ + channel % block_;
      case kNhwc:
        return (row * width_ + column) * shape_.channels + channel;
      default:
        return (channel * height_ + row) * width_ + column;
    }
  }

  int64_t last() const { return (*this)(shape_.channels - 1, shape_.height - 1, shape_.width - 1); }

 private:
  Shape shape_;
  int32_t layout_;
  int64_t block_ = 1;
  int64_t width_ = 1;
  int64_t height_ = 1;
};

struct Scale {
  float step;
  float zero;
};

Scale scale_of(const TensorAttr& attr) {
  if (attr.quantisation == kDynamicFixedPoint)
    return {std::ldexp(1.0F, -static_cast<int>(attr.fraction_bits)), 0.0F};
  return {attr.scale, static_cast<float>(attr.zero_point)};
}

template <typename T>
T quantised(float value, const Scale& scale) {
  const float level = std::nearbyint(value / scale.step) + scale.zero;
  if (std::isnan(level)) return static_cast<T>(scale.zero);
  return static_cast<T>(std::clamp(level, static_cast<float>(std::numeric_limits<T>::min()),
                                   static_cast<float>(std::numeric_limits<T>::max())));
}

template <typename Body>
void each(const Shape& shape, const Body& body) {
  int64_t plain = 0;
  for (int64_t c = 0; c < shape.channels; ++c) {
    for (int64_t y = 0; y < shape.height; ++y) {
      for (int64_t x = 0; x < shape.width; ++x) body(c, y, x, plain++);
    }
  }
}

template <typename T, typename Convert>
void pack_as(const float* source, const Shape& shape, const Place& place, void* target,
             const Convert& convert) {
  T* const out = static_cast<T*>(target);
  each(shape, [&](int64_t c, int64_t y, int64_t x, int64_t plain) {
    out[place(c, y, x)] = convert(source[plain]);
  });
}

template <typename T, typename Convert>
void unpack_as(const void* source, const Shape& shape, const Place& place, float* target,
               const Convert& convert) {
  const T* const in = static_cast<const T*>(source);
  each(shape, [&](int64_t c, int64_t y, int64_t x, int64_t plain) {
    target[plain] = convert(in[place(c, y, x)]);
  });
}

}  // namespace

bool shape_of(const std::vector<int64_t>& dims, Shape* shape) {
  if (dims.size() < 2 || dims.size() > 4) return false;
  *shape = Shape();
  shape->channels = dims[1];
  if (dims.size() == 3) shape->width = dims[2];
  if (dims.size() == 4) {
    shape->height = dims[2];
    shape->width = dims[3];
  }
  return true;
}

bool is_known(const TensorAttr& attr, const Shape& shape) {
  if (type_bytes(attr.type) == 0) return false;
  if (is_integer(attr.type)) {
    const bool affine =
        attr.quantisation == kAffine && std::isfinite(attr.scale) && attr.scale > 0.0F;
    if (!affine && attr.quantisation != kDynamicFixedPoint) return false;
  }
  if (attr.layout == kNc1hwc2) {
    if (attr.rank != 5 || attr.dims[0] != 1 || attr.dims[4] == 0) return false;
    if (int64_t{attr.dims[1]} * attr.dims[4] < shape.channels || attr.dims[2] != shape.height ||
        attr.dims[3] != shape.width)
      return false;
  } else if (attr.layout == kNhwc) {
    if (attr.row_stride != 0 && attr.row_stride < shape.width) return false;
  } else if (attr.layout != kNchw && attr.layout != kUndefined) {
    return false;
  }
  const int64_t needed = (Place(attr, shape).last() + 1) * type_bytes(attr.type);
  return needed <= static_cast<int64_t>(buffer_bytes(attr));
}

uint64_t buffer_bytes(const TensorAttr& attr) {
  return std::max(attr.bytes, attr.bytes_with_stride);
}

void pack(const float* source, const Shape& shape, const TensorAttr& attr, void* target) {
  const Place place(attr, shape);
  const Scale scale = scale_of(attr);
  switch (attr.type) {
    case kFloat32:
      return pack_as<float>(source, shape, place, target, [](float v) { return v; });
    case kFloat16:
      return pack_as<uint16_t>(source, shape, place, target, to_half);
    case kInt8:
      return pack_as<int8_t>(source, shape, place, target,
                             [&](float v) { return quantised<int8_t>(v, scale); });
    case kUint8:
      return pack_as<uint8_t>(source, shape, place, target,
                              [&](float v) { return quantised<uint8_t>(v, scale); });
    default:
      return pack_as<int16_t>(source, shape, place, target,
                              [&](float v) { return quantised<int16_t>(v, scale); });
  }
}

void unpack(const void* source, const Shape& shape, const TensorAttr& attr, float* target) {
  const Place place(attr, shape);
  const Scale scale = scale_of(attr);
  const auto real = [&](auto level) {
    return (static_cast<float>(level) - scale.zero) * scale.step;
  };
  switch (attr.type) {
    case kFloat32:
      return unpack_as<float>(source, shape, place, target, [](float v) { return v; });
    case kFloat16:
      return unpack_as<uint16_t>(source, shape, place, target, from_half);
    case kInt8:
      return unpack_as<int8_t>(source, shape, place, target, real);
    case kUint8:
      return unpack_as<uint8_t>(source, shape, place, target, real);
    default:
      return unpack_as<int16_t>(source, shape, place, target, real);
  }
}

uint16_t to_half(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint16_t sign = static_cast<uint16_t>((bits >> 16U) & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);   // NaN
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);  // rounds to infinity
  if (magnitude < 0x38800000U) {
    // Below the smallest normal half: the float's own addition rounds to multiples of 2^-24.
    float shifted = 0.0F;
    std::memcpy(&shifted, &magnitude, sizeof(shifted));
    shifted += 0.5F;
    uint32_t rounded = 0;
    std::memcpy(&rounded, &shifted, sizeof(rounded));
    return static_cast<uint16_t>(sign | (rounded - 0x3F000000U));
  }
  const uint32_t odd = (magnitude >> 13U) & 1U;
  const uint32_t rounded = magnitude - 0x38000000U + 0xFFFU + odd;
  return static_cast<uint16_t>(sign | (rounded >> 13U));
}

float from_half(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000U) << 16U;
  const uint32_t magnitude = bits & 0x7FFFU;
  uint32_t result = 0;
  if (magnitude >= 0x7C00U) {
    result = sign | 0x7F800000U | ((magnitude & 0x3FFU) << 13U);
  } else if (magnitude >= 0x400U) {
    result = sign | ((magnitude << 13U) + 0x38000000U);
  } else {
    const float small = static_cast<float>(magnitude) * 0x1p-24F;
    std::memcpy(&result, &small, sizeof(result));
    result |= sign;
  }
  float value = 0.0F;
  std::memcpy(&value, &result, sizeof(value));
  return value;
}

}  // namespace edgepose::rknn
