/* Training a chain of layers, one lane at a time, with everything it touches in the cache.
 *
 * A program of calls with constant sizes is generated for each model and put where this file
 * includes "program.h"; the compiler then unrolls the kernels for these sizes. Activations are
 * (rows, features) with the features padded to a multiple of 16, which is a multiple of every
 * vector length; so are the rows of a weight. Padding stays 0.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define PAD(n) (((n) + 15) / 16 * 16)
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* WIDE: vectors in a block of columns, with TALL rows; NARROW, SLIM: other blocks of that area. */
#if defined(__AVX512F__)
#define LANES 16
#define WIDE 6
#elif defined(__AVX__)
#define LANES 8
#define WIDE 3
#else
#define LANES 4
#define WIDE 3
#endif
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int ints __attribute__((vector_size(4 * LANES)));
typedef unsigned bits __attribute__((vector_size(4 * LANES)));

INLINE vec load(const float *p) { vec v; memcpy(&v, p, sizeof v); return v; }
INLINE void store(float *p, vec v) { memcpy(p, &v, sizeof v); }
INLINE vec choose(ints mask, vec a, vec b) { return (vec)((mask & (ints)a) | (~mask & (ints)b)); }
INLINE vec zero(void) { return (vec){0}; }

typedef float four __attribute__((vector_size(16)));

INLINE float sum(vec v) {
    four parts[LANES / 4];
    memcpy(parts, &v, sizeof v);
    UNROLL for (int half = LANES / 8; half; half /= 2)
        UNROLL for (int i = 0; i < half; i++) parts[i] += parts[i + half];
    return (parts[0][0] + parts[0][2]) + (parts[0][1] + parts[0][3]);
}

/* c[m][n] = start[n] or c[m][n], + sum over k of a[m * am + k * ak] * b[k][n]; a block of columns.
 * Rows are rounded up to a multiple of MR, so a and c must have room for that. */
#define KERNEL(MR, NB)                                                                            \
    INLINE void kernel_##MR##_##NB(int rows, int depth, const float *a, int am, int ak,           \
                                   const float *b, int bk, float *c, int cm, const float *start,  \
                                   int add) {                                                     \
        for (int m = 0; m < rows; m += MR) {                                                      \
            vec sums[MR][NB];                                                                     \
            UNROLL for (int i = 0; i < MR; i++)                                                   \
                UNROLL for (int j = 0; j < NB; j++)                                               \
                    sums[i][j] = add ? load(c + (m + i) * cm + j * LANES)                         \
                                     : start ? load(start + j * LANES) : zero();                  \
            for (int k = 0; k < depth; k++) {                                                     \
                vec column[NB];                                                                   \
                UNROLL for (int j = 0; j < NB; j++) column[j] = load(b + k * bk + j * LANES);     \
                UNROLL for (int i = 0; i < MR; i++) {                                             \
                    float factor = a[(m + i) * am + k * ak];                                      \
                    UNROLL for (int j = 0; j < NB; j++) sums[i][j] += factor * column[j];         \
                }                                                                                 \
            }                                                                                     \
            UNROLL for (int i = 0; i < MR; i++)                                                   \
                UNROLL for (int j = 0; j < NB; j++)                                               \
                    store(c + (m + i) * cm + j * LANES, sums[i][j]);                              \
        }                                                                                         \
    }

#if WIDE == 6
KERNEL(4, 6)
KERNEL(4, 5)
KERNEL(4, 4)
KERNEL(8, 3)
KERNEL(8, 2)
KERNEL(16, 1)
#else
KERNEL(4, 3)
KERNEL(4, 2)
KERNEL(8, 1)
#endif

INLINE void multiply(int rows, int columns, int depth, const float *a, int am, int ak,
                     const float *b, int bk, float *c, int cm, const float *start, int add) {
    int left = PAD(columns) / LANES;
    for (int n = 0; left > 0; ) {
        const float *from = start ? start + n : 0;
#define CASE(MR, NB)                                                                              \
    if (left >= NB) {                                                                             \
        kernel_##MR##_##NB(rows, depth, a, am, ak, b + n, bk, c + n, cm, from, add);              \
        n += NB * LANES, left -= NB;                                                              \
        continue;                                                                                 \
    }
#if WIDE == 6
        CASE(4, 6) CASE(4, 5) CASE(4, 4) CASE(8, 3) CASE(8, 2) CASE(16, 1)
#else
        CASE(4, 3) CASE(4, 2) CASE(8, 1)
#endif
    }
}

INLINE void linear(int rows, int inputs, int outputs, const float *x, const float *w,
                   const float *wt, const float *bias, float *y) {
    if (outputs > 1) {
        multiply(rows, outputs, inputs, x, PAD(inputs), 1, wt, PAD(outputs), y, PAD(outputs), bias,
                 0);
        return;
    }
    for (int r = 0; r < rows; r++) {
        vec sums = zero();
        for (int i = 0; i < PAD(inputs); i += LANES)
            sums += load(x + r * PAD(inputs) + i) * load(w + i);
        y[r * 16] = sum(sums) + (bias ? bias[0] : 0);
    }
}

/* The sum of VALUE, which is of row r, over rows; four at a time, none of which waits for another. */
#define SUM_OF_ROWS(TOTAL, VALUE)                                                                 \
    vec TOTAL = zero();                                                                           \
    {                                                                                             \
        vec parts[4] = {zero(), zero(), zero(), zero()};                                          \
        int begin = 0;                                                                            \
        for (; begin + 4 <= rows; begin += 4)                                                     \
            UNROLL for (int k = 0; k < 4; k++) { const int r = begin + k; parts[k] += VALUE; }    \
        for (int r = begin; r < rows; r++) parts[0] += VALUE;                                     \
        TOTAL = (parts[0] + parts[1]) + (parts[2] + parts[3]);                                    \
    }

INLINE void linear_backward(int rows, int inputs, int outputs, const float *x, const float *w,
                            const float *dy, float *dx, float *dw, float *dbias) {
    if (dbias)
        for (int o = 0; o < PAD(outputs); o += LANES) {
            SUM_OF_ROWS(sums, load(dy + r * PAD(outputs) + o))
            store(dbias + o, load(dbias + o) + sums);
        }
    if (outputs > 1)
        multiply(outputs, inputs, rows, dy, 1, PAD(outputs), x, PAD(inputs), dw, PAD(inputs), 0, 1);
    else
        for (int i = 0; i < PAD(inputs); i += LANES) {
            vec sums = zero();
            for (int r = 0; r < rows; r++) sums += dy[r * 16] * load(x + r * PAD(inputs) + i);
            store(dw + i, load(dw + i) + sums);
        }
    if (dx)
        multiply(rows, inputs, outputs, dy, PAD(outputs), 1, w, PAD(inputs), dx, PAD(inputs), 0, 0);
}

/* Elements of a and b in turns, from their lower or their upper halves. */
#if LANES == 16
#define LOWER 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define UPPER 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define LOWER 0, 8, 1, 9, 2, 10, 3, 11
#define UPPER 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOWER 0, 4, 1, 5
#define UPPER 2, 6, 3, 7
#endif
#if defined(__clang__)
#define IN_TURNS(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define IN_TURNS(a, b, ...) __builtin_shuffle(a, b, (ints){__VA_ARGS__})
#endif

/* A square block: taking the rows of both halves in turns, log2(LANES) times, transposes it. */
INLINE void transpose_block(const float *x, int apart, float *y, int y_apart) {
    vec rows[LANES], mixed[LANES];
    UNROLL for (int r = 0; r < LANES; r++) rows[r] = load(x + r * apart);
    UNROLL for (int done = 1; done < LANES; done *= 2) {
        UNROLL for (int r = 0; r < LANES / 2; r++) {
            mixed[2 * r] = IN_TURNS(rows[r], rows[r + LANES / 2], LOWER);
            mixed[2 * r + 1] = IN_TURNS(rows[r], rows[r + LANES / 2], UPPER);
        }
        UNROLL for (int r = 0; r < LANES; r++) rows[r] = mixed[r];
    }
    UNROLL for (int r = 0; r < LANES; r++) store(y + r * y_apart, rows[r]);
}

INLINE void transpose(int inputs, int outputs, const float *w, float *wt) {
    if (outputs == 1) return;
    for (int o = 0; o < PAD(outputs); o += LANES)
        for (int i = 0; i < PAD(inputs); i += LANES)
            transpose_block(w + o * PAD(inputs) + i, PAD(inputs), wt + i * PAD(outputs) + o,
                            PAD(outputs));
}

/* NaN goes through, as in torch. */
INLINE void relu(int rows, int features, float *x) {
    for (int i = 0; i < rows * PAD(features); i += LANES) {
        vec v = load(x + i);
        store(x + i, choose(v < zero(), zero(), v));
    }
}

INLINE void relu_backward(int rows, int features, const float *y, float *dy) {
    for (int i = 0; i < rows * PAD(features); i += LANES)
        store(dy + i, choose(load(y + i) <= zero(), zero(), load(dy + i)));
}

/* randomness.dropout_mask of elements that are so far `apart`: 0, or `scale` where one is kept. */
INLINE vec kept(unsigned apart, unsigned begin, unsigned key, unsigned least, float scale) {
    bits column;
    for (int i = 0; i < LANES; i++) column[i] = i;
    bits h = (column * apart + begin) * 0x9E3779B1u + key;
    h ^= h >> 16;
    h *= 0x7FEB352Du;
    h ^= h >> 15;
    h *= 0x846CA68Bu;
    h ^= h >> 16;
    return choose((ints)((h & 0x7FFFFFFFu) >= (bits){0} + least), zero() + scale, zero());
}

/* Rows of this block begin at row `first` of the batch. A mask has torch's order of elements, in
 * which the channels of images come before their places. */
INLINE void dropout(int rows, int places, int features, int of_images, int first, unsigned key,
                    unsigned least, float scale, float *x, float *mask) {
    for (int r = 0; r < rows * places; r++)
        for (int o = 0; o < PAD(features); o += LANES) {
            int begin = of_images ? ((first + r / places) * features + o) * places + r % places
                                  : (first * places + r) * features + o;
            vec factor = kept(of_images ? places : 1, begin, key, least, scale);
            int at = r * PAD(features) + o;
            store(mask + at, factor);
            store(x + at, load(x + at) * factor);
        }
}

INLINE void scale_by(int rows, int features, const float *mask, float *dy) {
    for (int i = 0; i < rows * PAD(features); i += LANES)
        store(dy + i, load(dy + i) * load(mask + i));
}

/* exp as in Cephes: 2^n times a polynomial, to a unit in the last place. */
INLINE vec exponential(vec x) {
    x = choose(x < -87.0f, zero() - 87.0f, choose(x > 88.0f, zero() + 88.0f, x));
    vec shifted = x * 1.44269504f + 12582912.0f; /* the lowest bits are x / ln 2, rounded */
    vec n = shifted - 12582912.0f;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r +
              4.1665795894e-2f) * r + 1.6666665459e-1f) * r + 5.0000001201e-1f;
    ints exponent = ((ints)shifted - 0x4B400000 + 127) << 23;
    return (p * r * r + r + 1.0f) * (vec)exponent;
}

INLINE vec logistic(vec x) { return 1.0f / (1.0f + exponential(-x)); }

INLINE vec hyperbolic_tangent(vec x) {
    vec z = x * x;
    vec near = ((((-5.70498872745e-3f * z + 2.06390887954e-2f) * z - 5.37397155531e-2f) * z +
                 1.33314422036e-1f) * z - 3.33332819422e-1f) * z * x + x;
    return choose(z < 0.39f, near, 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f));
}

/* The normal distribution function by Abramowitz and Stegun 7.1.26, to 1e-7. */
INLINE vec normal_below(vec x) {
    vec size = choose(x < zero(), -x, x) * 0.70710678f;
    vec t = 1.0f / (1.0f + 0.3275911f * size);
    vec p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t +
             0.254829592f) * t;
    vec beyond = 0.5f * p * exponential(-size * size);
    return choose(x < zero(), beyond, 1.0f - beyond);
}

/* y = value and the derivative at x, each an expression of the vector v and the number c. */
#define ACTIVATION(NAME, BEFORE, VALUE, SLOPE)                                                    \
    INLINE void NAME(int rows, int features, float c, const float *x, float *y, float *slope) {   \
        (void)c;                                                                                  \
        for (int i = 0; i < rows * PAD(features); i += LANES) {                                   \
            vec v = load(x + i);                                                                  \
            BEFORE;                                                                               \
            store(y + i, VALUE);                                                                  \
            store(slope + i, SLOPE);                                                              \
        }                                                                                         \
        for (int r = 0; r < rows; r++)                                                            \
            for (int i = features; i < PAD(features); i++) y[r * PAD(features) + i] = 0;          \
    }

ACTIVATION(tanh_, vec t = hyperbolic_tangent(v), t, 1.0f - t * t)
ACTIVATION(sigmoid, vec t = logistic(v), t, t * (1.0f - t))
ACTIVATION(silu, vec t = logistic(v), v * t, t * (1.0f + v * (1.0f - t)))
ACTIVATION(gelu, vec t = normal_below(v), v * t,
           t + v * 0.39894228f * exponential(-0.5f * v * v))
ACTIVATION(gelu_tanh, vec t = hyperbolic_tangent(0.79788456f * (v + 0.044715f * v * v * v)),
           0.5f * v * (1.0f + t),
           0.5f * (1.0f + t) +
               0.5f * v * (1.0f - t * t) * 0.79788456f * (1.0f + 0.134145f * v * v))
ACTIVATION(leaky_relu, ints up = v > zero(), choose(up, v, v * c), choose(up, zero() + 1.0f, zero() + c))
ACTIVATION(elu, vec e = c * exponential(v), choose(v > zero(), v, e - c),
           choose(v > zero(), zero() + 1.0f, e))

INLINE void scale_into(int rows, int features, const float *slope, const float *dy, float *dx) {
    for (int i = 0; i < rows * PAD(features); i += LANES)
        store(dx + i, load(dy + i) * load(slope + i));
}

/* Those of a vector at column i that are no padding. */
INLINE ints before(int end, int i) {
    ints column;
    for (int j = 0; j < LANES; j++) column[j] = i + j;
    return column < end;
}

INLINE void pack(int rows, int columns, const float *flat, float *padded) {
    for (int r = 0; r < rows; r++)
        memcpy(padded + r * PAD(columns), flat + r * columns, columns * sizeof(float));
}

INLINE void unpack(int rows, int columns, const float *padded, float *flat) {
    for (int r = 0; r < rows; r++)
        memcpy(flat + r * columns, padded + r * PAD(columns), columns * sizeof(float));
}

/* The program defines: BLOCK (rows that there is room for), TOGETHER (those that go through layers
 * together), FEATURES, OUTPUTS and TARGETS (numbers of a row), WEIGHTS (padded numbers of weights),
 * TRANSPOSED (numbers of transposed weights), STATISTICS (those of batches), ACTIVATIONS (numbers of
 * all activations of a block), INPUT and OUTPUT (where activations begin), STATES (the most that an
 * optimizer has), and the functions pack_all, unpack_all, pack_statistics, unpack_statistics,
 * transpose_all, forward, backward, states_of, step_with, and loss_of: a row's loss, of its
 * predictions p and its targets t, and its derivatives d. */
typedef struct {
    float w[WEIGHTS], g[WEIGHTS], s[STATES][WEIGHTS], average[WEIGHTS];
    float wt[TRANSPOSED];
    float statistics[STATISTICS];
    int is_finite; /* all of the last lane, so that the padding of activations is still 0 */
    float a[ACTIVATIONS], d[ACTIVATIONS];
} Lane __attribute__((aligned(64)));

#include "program.h"

INLINE float norm(const float *g) {
    vec sums[4] = {zero(), zero(), zero(), zero()};
    for (int i = 0; i < WEIGHTS; i += LANES) sums[i / LANES % 4] += load(g + i) * load(g + i);
    return sqrtf(sum(sums[0] + sums[1] + sums[2] + sums[3]));
}

static void gather(Lane *l, int rows, const float *x, const long long *order) {
    for (int r = 0; r < rows; r++)
        memcpy(l->a + INPUT + r * PAD(FEATURES), x + order[r] * FEATURES, FEATURES * sizeof(float));
}

/* Gradients of the mean loss of one batch into l->g; the sum of its rows' losses. */
static float gradients(Lane *l, int rows, const float *x, const float *y, const long long *order,
                       const int *keys) {
    float loss = 0;
    memset(l->g, 0, sizeof l->g);
    for (int first = 0; first < rows; first += BLOCK) {
        int some = rows - first < BLOCK ? rows - first : BLOCK;
        gather(l, some, x, order + first);
        forward(l, some, first, keys, 1);
        for (int r = 0; r < some; r++) {
            float *p = l->a + OUTPUT + r * PAD(OUTPUTS), *d = l->d + OUTPUT + r * PAD(OUTPUTS);
            loss += loss_of(p, y + order[first + r] * TARGETS, d) / TARGETS;
            for (int o = 0; o < OUTPUTS; o++) d[o] /= rows * TARGETS;
        }
        backward(l, some);
    }
    return loss;
}

/* The bytes of a Lane: 0 at first, it is given to both functions below, which are not called at the
 * same time with the same one. */
long long memory(void) { return sizeof(Lane); }

/* Make ready for the next lane: nothing of one that has diverged is left. */
static void clear(Lane *l) {
    memset(l, 0, l->is_finite ? offsetof(Lane, a) : sizeof *l);
}

static int all_finite(int count, const float *x) {
    int finite = 1;
    for (int i = 0; i < count; i++) finite &= x[i] - x[i] == 0;
    return finite;
}

static void end(Lane *l) {
    l->is_finite = all_finite(WEIGHTS, l->w) && all_finite(STATISTICS, l->statistics);
}

/* An epoch of each lane. Arrays as in EpochPlan; weights, averages and each of the states are
 * (lanes, width), running statistics (lanes, noted), numbers (steps, lanes, fields). */
void train(Lane *l, long long lanes, long long rows, long long batch, long long calls, long long courses,
          int optimizer, float clip, const float *x, const float *y, const long long *course,
          const long long *orders, const int *keys, float *weights, float *averages,
          float *const *states, long long width, float *statistics, long long noted,
          long long fields, const float *numbers, float *losses, float *norms) {
    for (long long lane = 0; lane < lanes; lane++) {
        clear(l);
        const long long *order = orders + course[lane] * rows;
        pack_all(weights + lane * width, l->w);
        pack_all(averages + lane * width, l->average);
        for (int s = 0; s < states_of(optimizer); s++)
            pack_all(states[s] + lane * width, l->s[s]);
        pack_statistics(statistics + lane * noted, l->statistics);
        transpose_all(l);
        losses[lane] = norms[lane] = 0;
        for (long long first = 0, step = 0; first < rows; first += batch, step++) {
            int some = rows - first < batch ? rows - first : batch;
            const int *key = keys + (step * courses + course[lane]) * calls;
            losses[lane] += gradients(l, some, x, y, order + first, key);
            float length = norm(l->g), share = clip > 0 ? clip / (length + 1e-6f) : 1;
            norms[lane] += length;
            share = share > 1 ? 1 : share;
            step_with(optimizer, l, share, numbers + (step * lanes + lane) * fields);
            transpose_all(l);
        }
        unpack_all(l->w, weights + lane * width);
        unpack_all(l->average, averages + lane * width);
        for (int s = 0; s < states_of(optimizer); s++)
            unpack_all(l->s[s], states[s] + lane * width);
        unpack_statistics(l->statistics, statistics + lane * noted);
        end(l);
    }
}

/* The predictions of each lane, (lanes, rows, OUTPUTS), without dropout. */
void predict(Lane *l, long long lanes, long long rows, const float *x, const float *weights, long long width,
            const float *statistics, long long noted, float *predictions) {
    for (long long lane = 0; lane < lanes; lane++) {
        clear(l);
        pack_all(weights + lane * width, l->w);
        pack_statistics(statistics + lane * noted, l->statistics);
        transpose_all(l);
        for (long long first = 0; first < rows; first += TOGETHER) {
            int some = rows - first < TOGETHER ? rows - first : TOGETHER;
            for (int r = 0; r < some; r++)
                memcpy(l->a + INPUT + r * PAD(FEATURES), x + (first + r) * FEATURES,
                       FEATURES * sizeof(float));
            forward(l, some, 0, 0, 0);
            unpack(some, OUTPUTS, l->a + OUTPUT, predictions + (lane * rows + first) * OUTPUTS);
        }
        end(l);
    }
}
