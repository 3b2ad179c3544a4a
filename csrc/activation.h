// Activations: each one's value, and its first two derivatives from what the forward pass keeps.
//
// Forward keeps the output y, from which the derivative of every monotone activation follows; only GELU,
// which is not monotone, keeps its pre-activation instead. Host and device compute from the same text.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include <c10/util/Exception.h>

#include "vector_math.h"

namespace stackae {

enum class Activation { sigmoid, tanh, relu, leaky_relu, elu, softplus, gelu, linear };

constexpr std::array<std::string_view, 8> activation_names = {"sigmoid", "tanh",     "relu", "leaky_relu",
                                                              "elu",     "softplus", "gelu", "linear"};

inline Activation parse_activation(std::string_view name) {
  for (size_t i = 0; i < activation_names.size(); ++i)
    if (activation_names[i] == name) return static_cast<Activation>(i);
  std::string known;
  for (const auto& each : activation_names) known += (known.empty() ? "" : ", ") + std::string(each);
  TORCH_CHECK_VALUE(false, "activation: expected one of ", known, ", got '", std::string(name), "'");
}

STACKAE_HOST_DEVICE inline bool keeps_preactivation(Activation activation) { return activation == Activation::gelu; }

// 1 / (1 + e^-x), with an error that is small relative to y and to 1 - y alike.
template <typename T>
struct Sigmoid {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) {
    const T e = exp_nonpositive(x < 0 ? x : -x);
    return quotient(x < 0 ? e : T(1), T(1) + e);
  }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return y * (T(1) - y); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T y) { return derivative(y) * (T(1) - T(2) * y); }
};

template <typename T>
struct Tanh {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) {
    const T m = expm1_nonpositive(T(-2) * (x < 0 ? -x : x));
    const T magnitude = quotient(-m, T(2) + m);
    return x < 0 ? -magnitude : magnitude;
  }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return (T(1) - y) * (T(1) + y); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T y) { return T(-2) * y * derivative(y); }
};

template <typename T>
struct Relu {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x < 0 ? T(0) : x; }  // NaN stays NaN
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return y > 0 ? T(1) : T(0); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T) { return T(0); }
};

template <typename T>
struct LeakyRelu {
  static constexpr T slope = T(0.01);
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x < 0 ? slope * x : x; }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return y > 0 ? T(1) : T(slope); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T) { return T(0); }
};

template <typename T>
struct Elu {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x < 0 ? expm1_nonpositive(x < 0 ? x : T(0)) : x; }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return y > 0 ? T(1) : y + T(1); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T y) { return y > 0 ? T(0) : y + T(1); }
};

// ln(1 + e^x); its derivative sigmoid(x) equals 1 - e^-y.
template <typename T>
struct Softplus {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) {
    return (x < 0 ? T(0) : x) + log1p_unit(exp_nonpositive(x < 0 ? x : -x));
  }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T y) { return -expm1_nonpositive(-y); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T y) { return derivative(y) * exp_nonpositive(-y); }
};

// x P(Z <= x), the exact form; forward keeps the pre-activation x.
template <typename T>
struct Gelu {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x * normal_cdf(x); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T x) { return normal_cdf(x) + x * normal_pdf(x); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T x) { return (T(2) - x * x) * normal_pdf(x); }
};

template <typename T>
struct Linear {
  static STACKAE_HOST_DEVICE STACKAE_INLINE T value(T x) { return x; }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T derivative(T) { return T(1); }
  static STACKAE_HOST_DEVICE STACKAE_INLINE T second_derivative(T) { return T(0); }
};

// Calls body(Sigmoid<T>{}) and the like: one switch, outside every loop.
STACKAE_CALLS_HOST_OR_DEVICE
template <typename T, typename Body>
STACKAE_HOST_DEVICE STACKAE_INLINE void with_activation(Activation activation, Body&& body) {
  switch (activation) {
    case Activation::sigmoid: return body(Sigmoid<T>{});
    case Activation::tanh: return body(Tanh<T>{});
    case Activation::relu: return body(Relu<T>{});
    case Activation::leaky_relu: return body(LeakyRelu<T>{});
    case Activation::elu: return body(Elu<T>{});
    case Activation::softplus: return body(Softplus<T>{});
    case Activation::gelu: return body(Gelu<T>{});
    case Activation::linear: return body(Linear<T>{});
  }
}

}  // namespace stackae
