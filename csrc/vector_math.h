// Elementary functions in plain, branch-free C++, so that the loops that call them vectorise for every
// CPU level (libm's calls would not). On a device the CUDA math library serves.
//
// Each takes only the half-line on which it is needed; the activations reflect their argument onto it.
// Coefficients are Taylor coefficients taken far enough for the type, so every one can be derived.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "macros.h"

namespace stackae {

// a / b for 2^-126 < b < 2^126, on a device within two ulp.
STACKAE_HOST_DEVICE STACKAE_INLINE float quotient(float a, float b) {
#ifdef __CUDA_ARCH__
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(b));
  return a * inverse;
#else
  return a / b;
#endif
}
STACKAE_HOST_DEVICE STACKAE_INLINE double quotient(double a, double b) { return a / b; }

namespace detail {

// The constants of a floating-point type that exp needs.
template <typename T>
struct Format;

template <>
struct Format<float> {
  using Bits = int32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr Bits exponent_bias = 127;
  static constexpr int exp_terms = 8;                // remainder 0.347^8 / 8! = 5e-9
  static constexpr int atanh_terms = 8;              // remainder 3^-16 / 17 = 1e-9
  static constexpr float round_magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float log2_e = 1.44269504088896341f;
  static constexpr float ln2_high = 0.693359375f;  // 9 bits: n * ln2_high is exact
  static constexpr float ln2_low = -2.12194440e-4f;
  static constexpr float smallest_exponent = -87.33654f;  // ln(2^-126)
};

template <>
struct Format<double> {
  using Bits = int64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr Bits exponent_bias = 1023;
  static constexpr int exp_terms = 14;                       // remainder 0.347^14 / 14! = 4e-18
  static constexpr int atanh_terms = 18;                     // remainder 3^-36 / 37 = 2e-19
  static constexpr double round_magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double log2_e = 1.44269504088896340736;
  static constexpr double ln2_high = 6.93147180369123816490e-01;  // 33 bits
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr double smallest_exponent = -708.3964185322641;  // ln(2^-1022)
};

template <int k>
constexpr double inverse_factorial = inverse_factorial<k - 1> / k;
template <>
constexpr double inverse_factorial<0> = 1.0;

// The sums below recurse at compile time: every coefficient is a literal in the loop that they end up in.

// sum over k in [first, last] of r^(k - first) / k!
template <int first, int last, typename T>
STACKAE_INLINE T exp_series(T r) {
  if constexpr (first == last)
    return static_cast<T>(inverse_factorial<first>);
  else
    return static_cast<T>(inverse_factorial<first>) + r * exp_series<first + 1, last>(r);
}

// sum over k in [first, last] of s^(k - first) / (2 k + 1)
template <int first, int last, typename T>
STACKAE_INLINE T atanh_series(T s) {
  if constexpr (first == last)
    return static_cast<T>(1.0 / (2 * first + 1));
  else
    return static_cast<T>(1.0 / (2 * first + 1)) + s * atanh_series<first + 1, last>(s);
}

// sum over k = first, first + 2, ... up to last of s^((k - first) / 2) / k!; with s = -x^2 the series of sine and
// cosine
template <int first, int last, typename T>
STACKAE_INLINE T alternate_series(T s) {
  if constexpr (first >= last)
    return static_cast<T>(inverse_factorial<first>);
  else
    return static_cast<T>(inverse_factorial<first>) + s * alternate_series<first + 2, last>(s);
}

template <typename To, typename From>
STACKAE_HOST_DEVICE STACKAE_INLINE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast needs equal sizes");
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

// e^x = scale * (1 + tail) with |ln(1 + tail)| <= ln(2) / 2.
template <typename T>
struct ScaledExp {
  T scale;
  T tail;
};

// x <= 0 and above the smallest exponent, or NaN.
template <typename T>
STACKAE_INLINE ScaledExp<T> scaled_exp(T x) {
  using F = Format<T>;
  const T shifted = x * F::log2_e + F::round_magic;
  const T n = shifted - F::round_magic;
  const T r = (x - n * F::ln2_high) - n * F::ln2_low;
  const T q = exp_series<2, F::exp_terms - 1>(r);
  const auto exponent = bit_cast<typename F::Bits>(shifted) - bit_cast<typename F::Bits>(F::round_magic);
  const T scale = bit_cast<T>(static_cast<typename F::Bits>((exponent + F::exponent_bias) << F::mantissa_bits));
  return {scale, r + r * r * q};
}

}  // namespace detail

// e^x for x <= 0; below the smallest normal number 0. Relative error under 2 ulp.
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T exp_nonpositive(T x) {
#ifdef __CUDA_ARCH__
  return ::exp(x);
#else
  constexpr T lowest = detail::Format<T>::smallest_exponent;
  const auto e = detail::scaled_exp(x < lowest ? lowest : x);
  return x < lowest ? T(0) : e.scale * (T(1) + e.tail);  // the product is exact: scale is a power of 2
#endif
}

// e^x - 1 for x <= 0, without cancellation near 0.
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T expm1_nonpositive(T x) {
#ifdef __CUDA_ARCH__
  return ::expm1(x);
#else
  constexpr T lowest = detail::Format<T>::smallest_exponent;
  const auto e = detail::scaled_exp(x < lowest ? lowest : x);
  return e.scale * e.tail + (e.scale - T(1));
#endif
}

// ln(1 + e) for 0 <= e <= 1, as 2 atanh(e / (2 + e)): no cancellation anywhere.
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T log1p_unit(T e) {
#ifdef __CUDA_ARCH__
  return ::log1p(e);
#else
  const T f = e / (T(2) + e);
  return T(2) * f * detail::atanh_series<0, detail::Format<T>::atanh_terms - 1>(f * f);
#endif
}

// ln(y) for 0 < y <= 1, y a normal float: y = m 2^e with m near 1, ln m = 2 atanh((m - 1) / (m + 1)).
STACKAE_HOST_DEVICE STACKAE_INLINE float log_unit(float y) {
#ifdef __CUDA_ARCH__
  return ::logf(y);
#else
  constexpr int32_t sqrt_half = 0x3f3504f3;  // the bits of 0.70710678
  const auto bits = detail::bit_cast<int32_t>(y);
  const int32_t exponent = (bits - sqrt_half) >> 23;
  const float m = detail::bit_cast<float>(bits - exponent * (1 << 23));
  const float s = (m - 1.0f) / (m + 1.0f);
  return static_cast<float>(exponent) * 0.69314718055994531f + 2.0f * s * detail::atanh_series<0, 5>(s * s);
#endif
}

// Within an ulp or two on a device, where the exact ones are a dozen instructions each.
STACKAE_HOST_DEVICE STACKAE_INLINE float sqrt_nonnegative(float x) {
#ifdef __CUDA_ARCH__
  float root;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(x));
  return root;
#else
  return ::sqrtf(x);
#endif
}
STACKAE_HOST_DEVICE STACKAE_INLINE double sqrt_nonnegative(double x) { return ::sqrt(x); }

// sin and cos of 2 pi u for 0 <= u <= 1: u is within an eighth of a turn of the nearest quarter turn.
STACKAE_HOST_DEVICE STACKAE_INLINE void sincos_turns(float u, float& sine, float& cosine) {
#ifdef __CUDA_ARCH__
  ::sincospif(2.0f * u, &sine, &cosine);
#else
  constexpr float two_pi = 6.2831853071795865f;
  const float shifted = 4.0f * u + detail::Format<float>::round_magic;
  const float quarters = shifted - detail::Format<float>::round_magic;
  const auto quarter = detail::bit_cast<int32_t>(shifted);
  const float angle = two_pi * (u - 0.25f * quarters), square = -angle * angle;
  const float s = angle * detail::alternate_series<1, 9>(square), c = detail::alternate_series<0, 10>(square);
  const float first = (quarter & 1) != 0 ? c : s, second = (quarter & 1) != 0 ? s : c;
  sine = (quarter & 2) != 0 ? -first : first;
  cosine = ((quarter + 1) & 2) != 0 ? -second : second;
#endif
}

// Standard normal distribution function, P(Z <= x); accurate relative to the result in the lower tail too.
STACKAE_HOST_DEVICE STACKAE_INLINE double normal_cdf(double x) {
#ifdef __CUDA_ARCH__
  return ::normcdf(x);
#else
  return 0.5 * std::erfc(-0.70710678118654752440 * x);
#endif
}

STACKAE_HOST_DEVICE STACKAE_INLINE float normal_cdf(float x) {
#ifdef __CUDA_ARCH__
  return ::normcdff(x);
#else
  // P(Z <= -a) = exp(-a^2 / 2) t g(t) with t = 1 / (1 + 0.4 a), a >= 0. g is a degree-10 least-squares fit
  // (weighted for relative error, Chebyshev nodes) to erfcx(a / sqrt 2) / (2 t); the result is within 4e-7 of the
  // truth, relatively.
  const float a = x < 0 ? -x : x;
  const float t = 1.0f / (1.0f + 0.4f * a);
  float g = 1.565468142e-02f;
  g = g * t + -5.104696244e-02f;
  g = g * t + 1.390223365e-02f;
  g = g * t + 1.361263822e-01f;
  g = g * t + -1.772677265e-01f;
  g = g * t + 1.872831204e-02f;
  g = g * t + 6.219857300e-03f;
  g = g * t + 8.458642433e-02f;
  g = g * t + 1.339403265e-01f;
  g = g * t + 1.595795978e-01f;
  g = g * t + 1.595768977e-01f;
  const float tail = exp_nonpositive(-0.5f * a * a) * t * g;
  return x < 0 ? tail : 1.0f - tail;
#endif
}

// Standard normal density.
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T normal_pdf(T x) {
  return T(0.39894228040143267794) * exp_nonpositive(T(-0.5) * x * x);
}

}  // namespace stackae
