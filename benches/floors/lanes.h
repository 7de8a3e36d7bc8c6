// The same field, eight elements at a time in five limbs of 52 bits: AVX-512 IFMA, R = 2^260.
// In memory an element has 32 bytes, blocks of eight are stored limb by limb.
#pragma once
#include <immintrin.h>

#include "scalar.h"

using V = __m512i;
inline constexpr u64 LOW = (u64(1) << 52) - 1;
inline constexpr u64 Q[5] = {P[0] & LOW, (P[0] >> 52 | P[1] << 12) & LOW,
                             (P[1] >> 40 | P[2] << 24) & LOW,
                             (P[2] >> 28 | P[3] << 36) & LOW, P[3] >> 16};
static_assert(Q[3] == 0, "the middle of the modulus is zero");

INLINE V all64(u64 x) { return _mm512_set1_epi64((long long)x); }
INLINE V low(V c, V a, V b) { return _mm512_madd52lo_epu64(c, a, b); }
INLINE V high(V c, V a, V b) { return _mm512_madd52hi_epu64(c, a, b); }

// (1 - k) P, limb by limb.
struct Less {
    alignas(64) long long times[5][8];
    constexpr Less() : times() {
        for (int i = 0; i < 5; i++)
            for (int k = 0; k < 8; k++) times[i][k] = (1 - k) * (long long)Q[i];
    }
};
inline constexpr Less LESS;

struct Lanes {
    static constexpr int lanes = 8;
    static constexpr int radix = 260;
    static constexpr const char* name = "AVX-512 IFMA";
    V l[5];

    INLINE static Lanes load(const u64* p) {
        V w[4];
        for (int i = 0; i < 4; i++) w[i] = _mm512_loadu_si512(p + 8 * i);
        V m = all64(LOW);
        return {{_mm512_and_si512(w[0], m), _mm512_and_si512(_mm512_shrdi_epi64(w[0], w[1], 52), m),
                 _mm512_and_si512(_mm512_shrdi_epi64(w[1], w[2], 40), m),
                 _mm512_and_si512(_mm512_shrdi_epi64(w[2], w[3], 28), m),
                 _mm512_srli_epi64(w[3], 16)}};
    }
    INLINE void store(u64* p) const {
        for (int i = 0; i < 4; i++) {
            V below = i ? _mm512_srli_epi64(l[i], 12 * i) : l[0];
            V above = _mm512_slli_epi64(l[i + 1], 52 - 12 * i);
            _mm512_storeu_si512(p + 8 * i, _mm512_or_si512(below, above));
        }
    }
    static Lanes all(const Scalar& s) {
        u64 words[32];
        for (int i = 0; i < 32; i++) words[i] = s.limb[i / 8];
        return load(words);
    }
    Scalar lane(int k) const {
        u64 words[32];
        store(words);
        Scalar s{{words[k], words[8 + k], words[16 + k], words[24 + k]}};
        for (int i = 0; i < 4; i++) s = reduced(s.limb, 0);
        return s;
    }

    // Carries between limbs; signed, for differences.
    INLINE static Lanes normalised(const V* z) {
        Lanes r;
        V c = z[0], m = all64(LOW);
        for (int i = 0; i < 4; i++) {
            r.l[i] = _mm512_and_si512(c, m);
            c = _mm512_add_epi64(z[i + 1], _mm512_srai_epi64(c, 52));
        }
        r.l[4] = c;
        return r;
    }
    // Below 2^255: less (q - 1) P, where q is what stands above 2^254.
    INLINE static Lanes below(V* z) {
        Lanes r = normalised(z);
        V q = _mm512_srli_epi64(r.l[4], 46);
        for (int i : {0, 1, 2, 4}) {
            V less = _mm512_permutexvar_epi64(q, _mm512_load_si512(LESS.times[i]));
            r.l[i] = _mm512_add_epi64(r.l[i], less);
        }
        return normalised(r.l);
    }

    struct Wide {
        V z[10] = {};
        INLINE void add(const Lanes& a, const Lanes& b) {
#pragma GCC unroll 5
            for (int i = 0; i < 5; i++) {
#pragma GCC unroll 5
                for (int j = 0; j < 5; j++) z[i + j] = low(z[i + j], a.l[j], b.l[i]);
#pragma GCC unroll 5
                for (int j = 0; j < 5; j++) z[i + j + 1] = high(z[i + j + 1], a.l[j], b.l[i]);
            }
        }
        INLINE void carry() {
            for (int i = 0; i < 9; i++) {
                z[i + 1] = _mm512_add_epi64(z[i + 1], _mm512_srli_epi64(z[i], 52));
                z[i] = _mm512_and_si512(z[i], all64(LOW));
            }
        }
        // Montgomery's reduction; a lane's lowest limb only ever makes a carry.
        INLINE Lanes value() const {
            V t[10];
            for (int i = 0; i < 10; i++) t[i] = z[i];
            V zero = _mm512_setzero_si512();
#pragma GCC unroll 5
            for (int i = 0; i < 5; i++) {
                V m = low(zero, t[i], all64(NEGATED_INVERSE & LOW));
                t[i + 1] = _mm512_add_epi64(
                    t[i + 1], _mm512_srli_epi64(_mm512_add_epi64(t[i], all64(LOW)), 52));
                t[i + 1] = low(high(t[i + 1], m, all64(Q[0])), m, all64(Q[1]));
                t[i + 2] = low(high(t[i + 2], m, all64(Q[1])), m, all64(Q[2]));
                t[i + 3] = high(t[i + 3], m, all64(Q[2]));
                t[i + 4] = low(t[i + 4], m, all64(Q[4]));
                t[i + 5] = high(t[i + 5], m, all64(Q[4]));
            }
            return normalised(t + 5);
        }
    };
};

INLINE Lanes operator*(const Lanes& a, const Lanes& b) {
    Lanes::Wide w;
    w.add(a, b);
    return w.value();
}
INLINE Lanes operator+(const Lanes& a, const Lanes& b) {
    V z[5];
    for (int i = 0; i < 5; i++) z[i] = _mm512_add_epi64(a.l[i], b.l[i]);
    return Lanes::below(z);
}
// a - b + 4 P, unreduced.
INLINE Lanes difference(const Lanes& a, const Lanes& b) {
    V z[5];
    for (int i = 0; i < 5; i++)
        z[i] = _mm512_add_epi64(_mm512_sub_epi64(a.l[i], b.l[i]), all64(4 * Q[i]));
    return Lanes::normalised(z);
}
INLINE Lanes operator-(const Lanes& a, const Lanes& b) {
    Lanes d = difference(a, b);
    return Lanes::below(d.l);
}

// R = 2^260: the product of scalars once more by 2^-4.
inline Scalar product(const Lanes*, const Scalar& a, const Scalar& b) {
    return (a * b) * Scalar{{0, 0, 0, u64(1) << 60}};
}
