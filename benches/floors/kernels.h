// What a proof spends its time in, written to be as quick as this machine lets it: no rounds of
// protocol, no hashing, no masks; memory is touched before the clock starts.
#pragma once
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "scalar.h"

using Words = std::unique_ptr<u64[], decltype(&std::free)>;

inline Words words(std::size_t count) {
    auto* p = static_cast<u64*>(std::aligned_alloc(64, (8 * count + 63) / 64 * 64));
    std::memset(p, 0, 8 * count);
    return {p, &std::free};
}

inline Scalar random_scalar(std::mt19937_64& rng) {
    return reduced({rng(), rng(), rng(), rng() >> 2}, 0);
}

// Random elements of the field, below 2^254, as blocks of F.
template <class F> Words random_words(std::size_t blocks, std::mt19937_64& rng) {
    Words out = words(blocks * 4 * F::lanes);
    for (std::size_t b = 0; b < blocks; b++)
        for (int i = 0; i < 4 * F::lanes; i++)
            out[b * 4 * F::lanes + i] = i < 3 * F::lanes ? rng() : rng() >> 2;
    return out;
}

template <class F> struct Array {
    Words data;
    std::size_t blocks;
    Array(std::size_t n, std::mt19937_64& rng) : data(random_words<F>(n, rng)), blocks(n) {}
    INLINE F operator[](std::size_t i) const { return F::load(&data[4 * F::lanes * i]); }
    INLINE void set(std::size_t i, const F& x) { x.store(&data[4 * F::lanes * i]); }
};

// ---- products of field elements ----------------------------------------------------------------
template <class F> void multiply(const Array<F>& a, const Array<F>& b, Array<F>& out) {
    for (std::size_t i = 0; i < a.blocks; i++) out.set(i, a[i] * b[i]);
}

// ---- one round of a sumcheck -------------------------------------------------------------------
// Tables of n blocks whose first variable is the first half against the second. With BIND it is
// bound to r first, in place. The sum is of a b, or of a b + c d, WEIGHTED or not by a table of
// INNER blocks over and over (what eq is where its outer variables are taken out). Returns the sums
// at 0 and of the leading coefficients, as vectors that are still to be added up.
constexpr std::size_t INNER = 64;

template <class F, int TABLES, bool BIND, bool WEIGHTED>
std::pair<F, F> round(u64* const* tables, std::size_t n, const F& r, const Array<F>& eq) {
    constexpr std::size_t block = 4 * F::lanes;
    std::size_t size = BIND ? n / 2 : n, half = size / 2;
    const F zero = F::all(Scalar{}), one = F::all(power_of_two(F::radix));
    F sums[2] = {zero, zero};
    for (std::size_t start = 0; start < half; start += INNER) {
        typename F::Wide at[2] = {};
        for (std::size_t i = start; i < std::min(start + INNER, half); i++) {
            F first[TABLES], step[TABLES];
            for (int t = 0; t < TABLES; t++) {
                u64* x = tables[t] + block * i;
                F a = F::load(x), b = F::load(x + block * half);
                if constexpr (BIND) {
                    a = a + r * difference(F::load(x + block * size), a);
                    b = b + r * difference(F::load(x + block * (half + size)), b);
                    a.store(x);
                    b.store(x + block * half);
                }
                first[t] = a;
                step[t] = difference(b, a);
            }
            for (int k = 0; k < 2; k++) {
                const F* v = k ? step : first;
                typename F::Wide inner = {};
                typename F::Wide& sum = WEIGHTED ? inner : at[k];
                for (int t = 0; t < TABLES; t += 2) sum.add(v[t], v[t + 1]);
                if constexpr (WEIGHTED) at[k].add(inner.value(), eq[i % INNER]);
            }
        }
        for (int k = 0; k < 2; k++) {
            at[k].carry();
            sums[k] = sums[k] + at[k].value() * one;  // of so many products it is not below 2 P
        }
    }
    return {sums[0], sums[1]};
}

// All rounds but those within a block; what it returns keeps the compiler honest.
template <class F, int TABLES, bool WEIGHTED>
F rounds(u64* const* tables, std::size_t n, const F& challenge, const Array<F>& eq) {
    F r = challenge;
    auto found = round<F, TABLES, false, WEIGHTED>(tables, n, r, eq);
    for (; n > 2; n /= 2) {
        r = r * found.first + found.second;  // stands for the next challenge
        found = round<F, TABLES, true, WEIGHTED>(tables, n, r, eq);
    }
    return found.first + found.second;
}

// ---- lookups: fractions 1 / q, the tree of their sums, a sumcheck for each of its layers --------
template <class F> struct Level {
    Array<F> p, q;
    Level(std::size_t n, std::mt19937_64& rng) : p(n, rng), q(n, rng) {}
};

template <class F> struct Lookups {
    std::vector<Level<F>> levels;  // the leaves, whose numerators are 1, ..., two fractions
    Array<F> eq;

    Lookups(std::size_t blocks, std::mt19937_64& rng) : eq(INNER, rng) {
        for (std::size_t n = blocks; n >= 2; n /= 2) levels.emplace_back(n, rng);
    }

    void build() {
        for (std::size_t k = 0; k + 1 < levels.size(); k++) {
            const Level<F>& in = levels[k];
            Level<F>& out = levels[k + 1];
            std::size_t half = out.q.blocks;
            for (std::size_t i = 0; i < half; i++) {
                F q0 = in.q[i], q1 = in.q[i + half];
                out.q.set(i, q0 * q1);
                if (k == 0) {
                    out.p.set(i, q0 + q1);
                } else {
                    typename F::Wide w = {};
                    w.add(in.p[i], q1);
                    w.add(in.p[i + half], q0);
                    out.p.set(i, w.value());
                }
            }
        }
    }

    // The layers from the root down, each folded where it lies.
    F prove(F r) {
        for (std::size_t k = levels.size(); k-- > 0;) {
            Level<F>& x = levels[k];
            std::size_t half = x.q.blocks / 2, far = half * 4 * F::lanes;
            // p0 q1 + p1 q0 + r q0 q1 = p0 q1 + (p1 + r q1) q0; of leaves, but for a constant,
            // q0 + q1 + r q0 q1 = (1 + r q1) (q0 + 1 / r)
            for (std::size_t i = 0; i < half; i++) {
                if (k) {
                    x.p.set(i + half, x.p[i + half] + r * x.q[i + half]);
                } else {
                    x.q.set(i, x.q[i] + r);
                    x.q.set(i + half, r + r * x.q[i + half]);
                }
            }
            u64 *p = x.p.data.get(), *q = x.q.data.get();
            u64* const tables[4] = {p, q + far, p + far, q};
            u64* const leaves[2] = {q, q + far};
            r = k ? rounds<F, 4, true>(tables, half, r, eq)
                  : rounds<F, 2, true>(leaves, half, r, eq);
        }
        return r;
    }
};

// ---- the group: additions of affine points, inverses shared by a batch --------------------------
template <class F> F inverse(F x) {  // x^(P - 2), in Montgomery form
    F power = x;
    for (int bit = 253; bit >= 0; bit--) {
        power = power * power;
        u64 limb = P[bit / 64] - (bit < 64 ? 2 : 0);
        if (limb >> (bit % 64) & 1) power = power * x;
    }
    return power;
}

template <class F> struct Points {
    Array<F> x, y;
    Points(std::size_t n, std::mt19937_64& rng) : x(n, rng), y(n, rng) {}
};

// out[i] = a[i] + b[i]; `before` has room for all products of differences of x.
template <class F>
void add(const Points<F>& a, const Points<F>& b, Points<F>& out, Array<F>& before) {
    constexpr int chains = 4;  // independent products hide each other's latency
    std::size_t n = a.x.blocks / chains;
    F total[chains];
    for (int c = 0; c < chains; c++) total[c] = b.x[c * n] - a.x[c * n];
    for (std::size_t i = 1; i < n; i++)
        for (int c = 0; c < chains; c++) {
            std::size_t at = c * n + i;
            before.set(at, total[c]);
            total[c] = total[c] * difference(b.x[at], a.x[at]);
        }
    for (int c = 0; c < chains; c++) total[c] = inverse(total[c]);
    for (std::size_t i = n; i-- > 0;)
        for (int c = 0; c < chains; c++) {
            std::size_t at = c * n + i;
            F x1 = a.x[at], x2 = b.x[at], y1 = a.y[at];
            F inverted = i ? total[c] * before[at] : total[c];
            total[c] = total[c] * difference(x2, x1);
            F slope = inverted * difference(b.y[at], y1);
            F x3 = slope * slope - (x1 + x2);
            out.x.set(at, x3);
            out.y.set(at, slope * difference(x1, x3) - y1);
        }
}
