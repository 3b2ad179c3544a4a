// The rows of a training, ready to be read one by one; shared by host and device.
#pragma once

#include "macros.h"
#include "step.h"

namespace stackae {

struct Source {
  enum class Type { bytes, single_precision, double_precision } type = Type::single_precision;
  const void* data = nullptr;
  int64_t width = 0;
  const float *offset = nullptr, *scale = nullptr;  // for bytes
};

inline Source source_of(const at::Tensor& x, const at::Tensor& offset, const at::Tensor& scale) {
  const auto kind = x.scalar_type();
  Source source;
  source.type = kind == at::kByte     ? Source::Type::bytes
                : kind == at::kDouble ? Source::Type::double_precision
                                      : Source::Type::single_precision;
  source.data = x.const_data_ptr();
  source.width = x.size(1);
  if (offset.defined()) source.offset = offset.const_data_ptr<float>();
  if (scale.defined()) source.scale = scale.const_data_ptr<float>();
  return source;
}

inline Source source_of(const Rows& rows) { return source_of(rows.x, rows.offset, rows.scale); }

// A byte as the number it stands for.
STACKAE_HOST_DEVICE STACKAE_INLINE float scaled_byte(uint8_t byte, float offset, float scale) {
  return (static_cast<float>(byte) - offset) / scale;
}

}  // namespace stackae
