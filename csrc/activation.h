// Activations: each one's value, and its first two derivatives from what the forward pass keeps.
//
// Forward keeps the output y, from which the derivative of every monotone activation follows; one that is not
// monotone keeps its pre-activation instead. Host and device compute from the same text.
// To add one: its struct, and its row in STACKAE_ACTIVATIONS.
#pragma once

#include <iterator>
#include <string>
#include <string_view>

#include <c10/util/Exception.h>

#include "vector_math.h"

namespace stackae {

// The value from which the derivatives of an activation are computed.
struct OfOutput {
  static constexpr bool keeps_preactivation = false;
};
struct OfInput {
  static constexpr bool keeps_preactivation = true;
};

// 1 / (1 + e^-x), with an error that is small relative to y and to 1 - y alike.
template <typename T>
struct Sigmoid : OfOutput {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) {
    const T e = exp_nonpositive(x < 0 ? x : -x);
    return quotient(x < 0 ? e : T(1), T(1) + e);
  }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return y * (T(1) - y); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T y) { return derivative(y) * (T(1) - T(2) * y); }
};

template <typename T>
struct Tanh : OfOutput {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) {
    const T m = expm1_nonpositive(T(-2) * (x < 0 ? -x : x));
    const T magnitude = quotient(-m, T(2) + m);
    return x < 0 ? -magnitude : magnitude;
  }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return (T(1) - y) * (T(1) + y); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T y) { return T(-2) * y * derivative(y); }
};

template <typename T>
struct Relu : OfOutput {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x < 0 ? T(0) : x; }  // NaN stays NaN
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return y > 0 ? T(1) : T(0); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T) { return T(0); }
};

template <typename T>
struct LeakyRelu : OfOutput {
  static constexpr T slope = T(0.01);
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x < 0 ? slope * x : x; }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return y > 0 ? T(1) : T(slope); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T) { return T(0); }
};

template <typename T>
struct Elu : OfOutput {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x < 0 ? expm1_nonpositive(x < 0 ? x : T(0)) : x; }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return y > 0 ? T(1) : y + T(1); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T y) { return y > 0 ? T(0) : y + T(1); }
};

// ln(1 + e^x); its derivative sigmoid(x) equals 1 - e^-y.
template <typename T>
struct Softplus : OfOutput {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) {
    return (x < 0 ? T(0) : x) + log1p_unit(exp_nonpositive(x < 0 ? x : -x));
  }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return -expm1_nonpositive(-y); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T y) { return derivative(y) * exp_nonpositive(-y); }
};

// x P(Z <= x), the exact form.
template <typename T>
struct Gelu : OfInput {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x * normal_cdf(x); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T x) { return normal_cdf(x) + x * normal_pdf(x); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T x) { return (T(2) - x * x) * normal_pdf(x); }
};

// x sigmoid(x); with s = sigmoid(x), c = 1 - s: f' = s + x s c, f'' = s c (2 + x (c - s)).
template <typename T>
struct Silu : OfInput {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x * Sigmoid<T>::value(x); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T x) {
    const T s = Sigmoid<T>::value(x), c = Sigmoid<T>::value(-x);
    return s + x * s * c;
  }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T x) {
    const T s = Sigmoid<T>::value(x), c = Sigmoid<T>::value(-x);
    return s * c * (T(2) + x * (c - s));
  }
};

template <typename T>
struct Linear : OfOutput {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x; }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T) { return T(1); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T) { return T(0); }
};

// name, struct, and its ATen expression of the pre-activation a, for a graph that can be differentiated again.
#define STACKAE_ACTIVATIONS(ROW)                           \
  ROW(sigmoid, Sigmoid, at::sigmoid(a))                    \
  ROW(tanh, Tanh, at::tanh(a))                             \
  ROW(relu, Relu, at::relu(a))                             \
  ROW(leaky_relu, LeakyRelu, at::leaky_relu(a))            \
  ROW(elu, Elu, at::elu(a))                                \
  ROW(softplus, Softplus, at::softplus(a, /*beta=*/1, 50)) \
  ROW(gelu, Gelu, at::gelu(a))                             \
  ROW(silu, Silu, at::silu(a))                             \
  ROW(linear, Linear, a)

#define STACKAE_NAME(name, Struct, aten) name,
enum class Activation { STACKAE_ACTIVATIONS(STACKAE_NAME) };
#undef STACKAE_NAME

#define STACKAE_TEXT(name, Struct, aten) #name,
constexpr std::string_view activation_names[] = {STACKAE_ACTIVATIONS(STACKAE_TEXT)};
#undef STACKAE_TEXT

inline Activation parse_activation(std::string_view name) {
  std::string known;
  for (size_t i = 0; i < std::size(activation_names); ++i) {
    if (activation_names[i] == name) return static_cast<Activation>(i);
    known += (known.empty() ? "" : ", ") + std::string(activation_names[i]);
  }
  TORCH_CHECK_VALUE(false, "activation: expected one of ", known, ", got '", std::string(name), "'");
}

// Calls body(Sigmoid<T>{}) and the like: one switch, outside every loop.
STACKAE_CALLS_HOST_OR_DEVICE
template <typename T, typename Body>
STACKAE_HOST_DEVICE STACKAE_INLINE void with_activation(Activation activation, Body&& body) {
#define STACKAE_CASE(name, Struct, aten) \
  case Activation::name: return body(Struct<T>{});
  switch (activation) { STACKAE_ACTIVATIONS(STACKAE_CASE) }
#undef STACKAE_CASE
}

STACKAE_HOST_DEVICE inline bool keeps_preactivation(Activation activation) {
#define STACKAE_CASE(name, Struct, aten) \
  case Activation::name: return Struct<float>::keeps_preactivation;
  switch (activation) { STACKAE_ACTIVATIONS(STACKAE_CASE) }
#undef STACKAE_CASE
  return false;
}

}  // namespace stackae
