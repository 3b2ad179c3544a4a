// From a tensor's dtype to a type: the floating-point types that every op takes (checks.h refuses others).
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/BFloat16.h>

namespace stackae {

// Calls body with a value of the C++ type.
template <typename Body>
void with_scalar_type(c10::ScalarType type, Body body) {
  switch (type) {
    case c10::ScalarType::Float: return body(float());
    case c10::ScalarType::Double: return body(double());
    default: return body(c10::BFloat16());
  }
}

}  // namespace stackae
