// Nanoseconds of processor time for each unit of a proof's work, on this machine, with so many
// threads at work beside each other: `floors THREADS` prints them as JSON. Every kernel is checked
// against plain arithmetic first; one that computes something else ends the program. With 0 threads
// nothing is timed, and what the plain arithmetic says of two numbers is printed.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <limits>
#include <thread>

#include <sys/mman.h>
#include <unistd.h>

#include "kernels.h"
#include "weights.h"
#ifdef HAS_LANES
#include "lanes.h"
using F = Lanes;
#else
using F = Single;
#endif

namespace {

constexpr int RUNS = 7;

double processor_seconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

double best(double units, const std::function<void()>& work) {
    double least = std::numeric_limits<double>::max();
    for (int i = 0; i < RUNS; i++) {
        double start = processor_seconds();
        work();
        least = std::min(least, processor_seconds() - start);
    }
    return 1e9 * least / units;
}

void require(bool right, const char* what) {
    if (right) return;
    std::fprintf(stderr, "floors: the kernel of %s computes something else\n", what);
    std::exit(1);
}

Scalar total(const F& x) {
    Scalar s;
    for (int k = 0; k < F::lanes; k++) s = s + x.lane(k);
    return s;
}

Scalar times(const Scalar& a, const Scalar& b) { return product((F*)nullptr, a, b); }

void check_field(std::mt19937_64& rng) {
    Array<F> a(64, rng), b(64, rng);
    F x = a[0];
    for (std::size_t i = 0; i < 64; i++) {
        F sum = a[i] + b[i], less = a[i] - b[i], twice = difference(a[i], b[i]) * b[i];
        x = x * (x + a[i]) - b[i];
        for (int k = 0; k < F::lanes; k++) {
            Scalar u = a[i].lane(k), v = b[i].lane(k);
            require(sum.lane(k) == u + v && less.lane(k) == u - v, "sums");
            require((a[i] * b[i]).lane(k) == times(u, v), "products");
            require(twice.lane(k) == times(u - v, v), "differences");
        }
    }
    Scalar y = a[0].lane(0);
    for (std::size_t i = 0; i < 64; i++) y = times(y, y + a[i].lane(0)) - b[i].lane(0);
    require(y == x.lane(0), "chains of operations");
}

template <int TABLES, bool WEIGHTED> void check_round(std::mt19937_64& rng) {
    constexpr std::size_t n = 8 * INNER, quarter = n / 4;
    std::vector<Array<F>> held;
    for (int t = 0; t < TABLES; t++) held.emplace_back(n, rng);
    Array<F> eq(INNER, rng);
    Scalar r = random_scalar(rng), want[2];
    for (std::size_t i = 0; i < quarter; i++)
        for (int k = 0; k < F::lanes; k++) {
            Scalar v[2][TABLES];
            for (int t = 0; t < TABLES; t++)
                for (int side = 0; side < 2; side++) {
                    Scalar x = held[t][i + side * quarter].lane(k);
                    Scalar y = held[t][i + (side + 2) * quarter].lane(k);
                    v[side][t] = x + times(r, y - x);
                }
            for (int t = 0; t < TABLES; t++) v[1][t] = v[1][t] - v[0][t];
            for (int side = 0; side < 2; side++) {
                Scalar sum;
                for (int t = 0; t < TABLES; t += 2) sum = sum + times(v[side][t], v[side][t + 1]);
                want[side] = want[side] + (WEIGHTED ? times(sum, eq[i % INNER].lane(k)) : sum);
            }
        }
    u64* tables[TABLES];
    for (int t = 0; t < TABLES; t++) tables[t] = held[t].data.get();
    auto found = round<F, TABLES, true, WEIGHTED>(tables, n, F::all(r), eq);
    require(total(found.first) == want[0] && total(found.second) == want[1], "a sumcheck's round");
}

void check_tree(std::mt19937_64& rng) {
    Lookups<F> tree(16, rng);
    tree.build();
    for (int k = 0; k < F::lanes; k++) {
        Scalar q = tree.levels[0].q[0].lane(k), sum = tree.levels[1].p[0].lane(k);
        for (std::size_t i = 1; i < 16; i++) q = times(q, tree.levels[0].q[i].lane(k));
        const Level<F>& top = tree.levels.back();
        require(times(top.q[0].lane(k), top.q[1].lane(k)) == q, "a tree of fractions");
        // level 1 is made of 1 / q0 + 1 / q1 = (q0 + q1) / (q0 q1); all above add fractions
        require(sum == tree.levels[0].q[0].lane(k) + tree.levels[0].q[8].lane(k), "leaves");
        Scalar n, d;
        for (std::size_t i = 0; i < 8; i++) {
            Scalar p1 = tree.levels[1].p[i].lane(k), q1 = tree.levels[1].q[i].lane(k);
            n = i ? times(n, q1) + times(p1, d) : p1;
            d = i ? times(d, q1) : q1;
        }
        Scalar one = times(top.p[0].lane(k), top.q[1].lane(k));
        Scalar other = times(top.p[1].lane(k), top.q[0].lane(k));
        require(one + other == n, "sums of fractions");
    }
}

void check_points(std::mt19937_64& rng) {
    Points<F> a(32, rng), b(32, rng), sum(32, rng);
    Array<F> room(32, rng);
    add(a, b, sum, room);
    for (std::size_t i = 0; i < 32; i++)
        for (int k = 0; k < F::lanes; k++) {
            // slope (x2 - x1) = y2 - y1, whatever the curve: through x3 + x1 + x2 = slope^2
            Scalar x1 = a.x[i].lane(k), x2 = b.x[i].lane(k), dy = b.y[i].lane(k) - a.y[i].lane(k);
            Scalar dx = x2 - x1, s = sum.x[i].lane(k) + x1 + x2;
            require(times(s, times(dx, dx)) == times(dy, dy), "additions of points");
            Scalar rise = sum.y[i].lane(k) + a.y[i].lane(k);
            require(times(rise, dx) == times(dy, x1 - sum.x[i].lane(k)), "additions of points");
        }
}

void print(const char* name, const Scalar& s) {
    std::printf("\"%s\": \"", name);
    for (int i = 3; i >= 0; i--) std::printf("%016llx", (unsigned long long)s.limb[i]);
    std::printf("\", ");
}

void print_arithmetic(std::mt19937_64& rng) {
    Scalar a = random_scalar(rng), b = random_scalar(rng);
    std::printf("{");
    print("a", a);
    print("b", b);
    print("sum", a + b);
    print("difference", a - b);
    print("product", times(a, b));
    std::printf("\"radix\": %d, \"arithmetic\": \"%s\"}\n", F::radix, F::name);
}

// First touch of so many pages of memory that the system has to find, and takes back afterwards.
double touch(std::size_t pages) {
    const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE));
    return best(double(pages), [&] {
        void* found = mmap(nullptr, pages * page, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        require(found != MAP_FAILED, "memory");
        auto* bytes = static_cast<volatile char*>(found);
        for (std::size_t i = 0; i < pages; i++) bytes[i * page] = 1;
        munmap(found, pages * page);
    });
}

struct Times {
    double multiplication, product, lookup, addition, weight, page;
};

Times measure(unsigned seed) {
    std::mt19937_64 rng(seed);
    Times t;
    constexpr std::size_t entries = std::size_t(1) << 18, blocks = entries / F::lanes;
    {
        constexpr std::size_t few = 2008 / F::lanes;  // in the cache, and at no power of two
        Array<F> a(few, rng), b(few, rng), out(few, rng);
        t.multiplication = best(2008 * 64, [&] {
            for (int i = 0; i < 64; i++) multiply(a, b, out);
        });
    }
    {
        Array<F> a(blocks, rng), b(blocks, rng);
        u64* const tables[2] = {a.data.get(), b.data.get()};
        F r = F::all(random_scalar(rng));
        t.product = best(entries, [&] { r = rounds<F, 2, false>(tables, blocks, r, a); });
    }
    {
        Lookups<F> tree(blocks, rng);
        F r = F::all(random_scalar(rng));
        t.lookup = best(entries, [&] {
            tree.build();
            r = tree.prove(r);
        });
    }
    {
        constexpr std::size_t batch = 4064 / F::lanes;
        Points<F> a(batch, rng), b(batch, rng), sum(batch, rng);
        Array<F> room(batch, rng);
        t.addition = best(4064 * 16, [&] {
            for (int i = 0; i < 16; i++) add(a, b, sum, room);
        });
    }
    {
        Weights w(4096, 4096, rng);  // 32 MB: they come from memory
        t.weight = best(4096.0 * 4096.0, [&] { w.contract(); });
    }
    t.page = touch(std::size_t(1) << 15);
    return t;
}

}  // namespace

int main(int count, char** given) {
    int threads = count > 1 ? std::max(0, std::atoi(given[1])) : 1;
    std::mt19937_64 rng(7);
    check_field(rng);
    check_round<2, false>(rng);
    check_round<2, true>(rng);
    check_round<4, true>(rng);
    check_tree(rng);
    check_points(rng);
    require(Weights(24, 40, rng).is_right(), "weights");
    if (threads == 0) {
        print_arithmetic(rng);
        return 0;
    }
    std::vector<Times> found(threads);
    std::vector<std::thread> all;
    for (int i = 0; i < threads; i++) all.emplace_back([&, i] { found[i] = measure(100 + i); });
    for (auto& thread : all) thread.join();
    auto mean = [&](double Times::*part) {
        double sum = 0;
        for (const Times& t : found) sum += t.*part;
        return sum / threads;
    };
    std::printf("{\"arithmetic\": \"%s\", \"threads\": %d, \"multiplication_ns\": %.3f, "
                "\"product_ns\": %.3f, \"lookup_ns\": %.3f, \"addition_ns\": %.3f, "
                "\"weight_ns\": %.4f, \"page_ns\": %.0f}\n",
                F::name, threads, mean(&Times::multiplication), mean(&Times::product),
                mean(&Times::lookup), mean(&Times::addition), mean(&Times::weight),
                mean(&Times::page));
}
