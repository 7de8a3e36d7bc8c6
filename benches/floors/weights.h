// W e of 16-bit weights and field elements: sums of small times large, reduced once a row.
#pragma once
#include <random>
#include <vector>

#include "scalar.h"
#ifdef HAS_LANES
#include <immintrin.h>
#endif

struct Weights {
    static constexpr int LIMBS = 8, BITS = 36;  // a product of a limb and a weight has 52 bits
    std::size_t rows, columns;
    std::vector<std::int16_t> w;
    std::vector<Scalar> e;
    std::vector<u64> limbs;  // of e: 8 columns beside each other, limb by limb
    std::vector<std::array<u64, LIMBS>> sums;  // of each row, of w + 2^15

    Weights(std::size_t n, std::size_t k, std::mt19937_64& rng)
        : rows(n), columns(k), w(n * k), e(k), limbs(k * LIMBS), sums(n) {
        for (auto& x : w) x = std::int16_t(rng());
        for (std::size_t j = 0; j < k; j++) {
            e[j] = {{rng(), rng(), rng(), rng() >> 2}};
            for (int l = 0; l < LIMBS; l++) {
                u64 bits = 0;
                for (int b = 0; b < BITS && BITS * l + b < 256; b++) {
                    int at = BITS * l + b;
                    bits |= (e[j].limb[at / 64] >> (at % 64) & 1) << b;
                }
                limbs[j / 8 * 8 * LIMBS + 8 * l + j % 8] = bits;
            }
        }
    }

    void contract() {
#ifdef HAS_LANES
        for (std::size_t i = 0; i + 4 <= rows; i += 4) {  // four rows share what is read of e
            __m512i sum[4][LIMBS];
            for (auto& row : sum)
                for (auto& x : row) x = _mm512_setzero_si512();
            for (std::size_t j = 0; j < columns; j += 8) {
                const u64* at = &limbs[j * LIMBS];
                __m512i value[4];
                for (int r = 0; r < 4; r++) {
                    __m128i raw = _mm_loadu_si128((const __m128i*)&w[(i + r) * columns + j]);
                    __m512i wide = _mm512_cvtepu16_epi64(raw);
                    value[r] = _mm512_xor_si512(wide, _mm512_set1_epi64(1 << 15));
                }
#pragma GCC unroll 8
                for (int l = 0; l < LIMBS; l++) {
                    __m512i limb = _mm512_loadu_si512(at + 8 * l);
#pragma GCC unroll 4
                    for (int r = 0; r < 4; r++)
                        sum[r][l] = _mm512_madd52lo_epu64(sum[r][l], value[r], limb);
                }
            }
            for (int r = 0; r < 4; r++)
                for (int l = 0; l < LIMBS; l++) sums[i + r][l] = _mm512_reduce_add_epi64(sum[r][l]);
        }
#else
        for (std::size_t i = 0; i < rows; i++) {
            std::array<u128, 4> sum{};
            for (std::size_t j = 0; j < columns; j++) {
                u64 value = std::uint16_t(w[i * columns + j]) ^ (1u << 15);
                for (int l = 0; l < 4; l++) sum[l] += (u128)e[j].limb[l] * value;
            }
            for (int l = 0; l < 4; l++) {
                sums[i][2 * l] = (u64)sum[l];
                sums[i][2 * l + 1] = (u64)(sum[l] >> 64);
            }
        }
#endif
    }

    // Against plain arithmetic, modulo 2^128.
    bool is_right() {
        contract();
        for (std::size_t i = 0; i < rows; i++) {
            u128 want = 0, found = 0;
            for (std::size_t j = 0; j < columns; j++) {
                u64 value = std::uint16_t(w[i * columns + j]) ^ (1u << 15);
                want += ((u128)e[j].limb[1] << 64 | e[j].limb[0]) * value;
            }
#ifdef HAS_LANES
            for (int l = 0; l < 4; l++) found += (u128)sums[i][l] << (BITS * l);
#else
            found = sums[i][0] + ((u128)(sums[i][1] + sums[i][2]) << 64);
#endif
            if (want != found) return false;
        }
        return true;
    }
};
