// The Pallas base field, one element at a time: Montgomery form with R = 2^256.
// The reference that the vector kernels are checked against, and the floor without AVX-512.
#pragma once
#include <array>
#include <cstdint>

#if defined(__AVX512IFMA__) && defined(__AVX512VBMI2__)
#define HAS_LANES
#endif

// Kernels keep vectors in registers: a call would put them into memory.
#define INLINE __attribute__((always_inline)) inline

using u64 = std::uint64_t;
using u128 = unsigned __int128;

inline constexpr std::array<u64, 4> P = {0x992d30ed00000001, 0x224698fc094cf91b, 0,
                                         0x4000000000000000};
inline constexpr u64 NEGATED_INVERSE = 0x992d30ecffffffff;  // of P modulo 2^64

struct Scalar {
    std::array<u64, 4> limb{};
    bool operator==(const Scalar&) const = default;
};

inline Scalar reduced(std::array<u64, 4> a, u64 carry) {
    std::array<u64, 4> d;
    u64 borrow = 0;
    for (int i = 0; i < 4; i++) {
        u128 t = (u128)a[i] - P[i] - borrow;
        d[i] = (u64)t;
        borrow = (u64)(t >> 64) & 1;
    }
    return carry || !borrow ? Scalar{d} : Scalar{a};
}

inline Scalar operator+(const Scalar& a, const Scalar& b) {
    std::array<u64, 4> s;
    u128 c = 0;
    for (int i = 0; i < 4; i++) {
        c += (u128)a.limb[i] + b.limb[i];
        s[i] = (u64)c;
        c >>= 64;
    }
    return reduced(s, (u64)c);
}

inline Scalar operator-(const Scalar& a, const Scalar& b) {
    std::array<u64, 4> d;
    u64 borrow = 0;
    for (int i = 0; i < 4; i++) {
        u128 t = (u128)a.limb[i] - b.limb[i] - borrow;
        d[i] = (u64)t;
        borrow = (u64)(t >> 64) & 1;
    }
    u128 c = 0;
    for (int i = 0; i < 4 && borrow; i++) {
        c += (u128)d[i] + P[i];
        d[i] = (u64)c;
        c >>= 64;
    }
    return Scalar{d};
}

inline Scalar operator*(const Scalar& a, const Scalar& b) {
    u64 t[6] = {};
    for (int i = 0; i < 4; i++) {
        u128 c = 0;
        for (int j = 0; j < 4; j++) {
            c += (u128)a.limb[j] * b.limb[i] + t[j];
            t[j] = (u64)c;
            c >>= 64;
        }
        c += t[4];
        t[4] = (u64)c;
        t[5] = (u64)(c >> 64);
        u64 m = t[0] * NEGATED_INVERSE;
        c = ((u128)m * P[0] + t[0]) >> 64;
        for (int j = 1; j < 4; j++) {
            c += (u128)m * P[j] + t[j];
            t[j - 1] = (u64)c;
            c >>= 64;
        }
        c += t[4];
        t[3] = (u64)c;
        t[4] = t[5] + (u64)(c >> 64);
    }
    return reduced({t[0], t[1], t[2], t[3]}, t[4]);
}

// 2^power modulo P: the one of Montgomery's form.
inline Scalar power_of_two(int power) {
    Scalar s{{1}};
    for (int i = 0; i < power; i++) s = s + s;
    return s;
}

// One element as a "vector" of one lane: what kernels are written against.
struct Single {
    static constexpr int lanes = 1;
    static constexpr int radix = 256;  // Montgomery's, as a power of two
    static constexpr const char* name = "portable";
    Scalar v;

    static Single load(const u64* p) { return {{{p[0], p[1], p[2], p[3]}}}; }
    void store(u64* p) const {
        for (int i = 0; i < 4; i++) p[i] = v.limb[i];
    }
    static Single all(const Scalar& s) { return {s}; }
    Scalar lane(int) const { return v; }

    // Sums of products; the vector's are reduced once for many.
    struct Wide {
        Scalar sum;
        void add(const Single& a, const Single& b) { sum = sum + a.v * b.v; }
        void carry() {}
        Single value() const { return {sum}; }
    };
};

inline Single operator*(const Single& a, const Single& b) { return {a.v * b.v}; }
inline Single operator+(const Single& a, const Single& b) { return {a.v + b.v}; }
inline Single operator-(const Single& a, const Single& b) { return {a.v - b.v}; }
// a - b only as a factor: the vector's may be left unreduced.
inline Single difference(const Single& a, const Single& b) { return a - b; }

// A product of the kernels' kind, in terms of scalars: vectors have R = 2^260.
inline Scalar product(const Single*, const Scalar& a, const Scalar& b) { return a * b; }
