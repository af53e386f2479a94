/* Sequences of tokens, (rows, tokens, features), the features padded: what is not done to each token
 * by itself. */

INLINE void to_tokens(int rows, int places, int width, const float *x, float *y) {
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < places; p++)
            memcpy(y + (r * places + p) * PAD(width), x + r * PAD(places * width) + p * width,
                   width * sizeof(float));
}

INLINE void from_tokens(int rows, int places, int width, const float *x, float *y) {
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < places; p++)
            memcpy(y + r * PAD(places * width) + p * width, x + (r * places + p) * PAD(width),
                   width * sizeof(float));
}

/* A row of ids, which are whole numbers, to the rows of a table. */
INLINE void embed(int rows, int tokens, int width, const float *ids, const float *table, float *y) {
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tokens; t++)
            memcpy(y + (r * tokens + t) * PAD(width),
                   table + (long long)ids[r * PAD(tokens) + t] * PAD(width),
                   PAD(width) * sizeof(float));
}

INLINE void embed_backward(int rows, int tokens, int width, const float *ids, const float *dy,
                           float *dtable) {
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tokens; t++) {
            const long long id = ids[r * PAD(tokens) + t];
            const float *d = dy + (r * tokens + t) * PAD(width);
            float *to = dtable + id * PAD(width);
            for (int i = 0; i < PAD(width); i += LANES) store(to + i, load(to + i) + load(d + i));
        }
}

INLINE void copy(int rows, int features, const float *x, float *y) {
    memcpy(y, x, rows * PAD(features) * sizeof(float));
}

INLINE void add(int rows, int features, const float *x, float *y) {
    for (int i = 0; i < rows * PAD(features); i += LANES) store(y + i, load(y + i) + load(x + i));
}

INLINE void add_each(int rows, int places, int width, const float *weight, float *y) {
    for (int r = 0; r < rows; r++) add(places, width, weight, y + r * places * PAD(width));
}

INLINE void add_each_backward(int rows, int places, int width, const float *dy, float *dweight) {
    for (int r = 0; r < rows; r++) add(places, width, dy + r * places * PAD(width), dweight);
}

/* Queries, keys and values of a token are beside each other in x; part 0, 1 or 2 of a head begins at
 * this column. Shares are (rows, heads, tokens that ask, tokens that are asked). */
#define PART(x, r, t, part) \
    ((x) + ((r) * tokens + (t)) * PAD(3 * width) + (part) * width + h * (width / heads))
#define SHARES(s, r, t) ((s) + (((r) * heads + h) * tokens + (t)) * PAD(tokens))
#define EACH_HEAD for (int r = 0; r < rows; r++) for (int h = 0; h < heads; h++)

/* (each, PAD(tokens)) of (tokens, each), so that tokens are along a vector. */
INLINE void across(int tokens, int each, const float *x, int apart, float *turned) {
    for (int d = 0; d < each; d++)
        for (int t = 0; t < PAD(tokens); t++)
            turned[d * PAD(tokens) + t] = t < tokens ? x[t * apart + d] : 0;
}

typedef int four_ints __attribute__((vector_size(16)));

INLINE float greatest(vec v) {
    four parts[LANES / 4];
    memcpy(parts, &v, sizeof v);
    UNROLL for (int half = LANES / 8; half; half /= 2)
        UNROLL for (int i = 0; i < half; i++) {
            four a = parts[i], b = parts[i + half];
            four_ints more = a > b;
            parts[i] = (four)((more & (four_ints)a) | (~more & (four_ints)b));
        }
    const float a = parts[0][0] > parts[0][2] ? parts[0][0] : parts[0][2];
    const float b = parts[0][1] > parts[0][3] ? parts[0][1] : parts[0][3];
    return a > b ? a : b;
}

INLINE void attention_shares(int rows, int tokens, int width, int heads, const float *x,
                             float *shares) {
    const int each = width / heads;
    const float scale = 1 / sqrtf(each);
    float keys[each * PAD(tokens)];
    EACH_HEAD {
        across(tokens, each, PART(x, r, 0, 1), PAD(3 * width), keys);
        for (int t = 0; t < tokens; t++) {
            const float *query = PART(x, r, t, 0);
            float *s = SHARES(shares, r, t);
            vec highest = zero() - INFINITY;
            for (int i = 0; i < PAD(tokens); i += LANES) {
                vec v = zero();
                for (int d = 0; d < each; d++) v += query[d] * load(keys + d * PAD(tokens) + i);
                v *= scale;
                store(s + i, v);
                v = choose(before(tokens, i), v, zero() - INFINITY);
                highest = choose(v > highest, v, highest);
            }
            const float most = greatest(highest);
            vec sums = zero();
            for (int i = 0; i < PAD(tokens); i += LANES) {
                vec v = choose(before(tokens, i), exponential(load(s + i) - most), zero());
                store(s + i, v);
                sums += v;
            }
            const float inverse = 1 / sum(sums);
            for (int i = 0; i < PAD(tokens); i += LANES) store(s + i, load(s + i) * inverse);
        }
    }
}

INLINE void attention_shares_backward(int rows, int tokens, int width, int heads, const float *x,
                                      const float *shares, float *dshares, float *dx) {
    const int each = width / heads;
    const float scale = 1 / sqrtf(each);
    EACH_HEAD {
        for (int t = 0; t < tokens; t++) {
            const float *s = SHARES(shares, r, t);
            float *ds = SHARES(dshares, r, t), query[each];
            vec along = zero();
            for (int i = 0; i < PAD(tokens); i += LANES) along += load(s + i) * load(ds + i);
            const float product = sum(along);
            for (int i = 0; i < PAD(tokens); i += LANES)
                store(ds + i, load(s + i) * (load(ds + i) - product) * scale);
            for (int d = 0; d < each; d++) query[d] = 0;
            for (int i = 0; i < tokens; i++)
                for (int d = 0; d < each; d++) query[d] += ds[i] * PART(x, r, i, 1)[d];
            memcpy(PART(dx, r, t, 0), query, sizeof query);
        }
        for (int i = 0; i < tokens; i++) {
            float key[each];
            for (int d = 0; d < each; d++) key[d] = 0;
            for (int t = 0; t < tokens; t++)
                for (int d = 0; d < each; d++)
                    key[d] += SHARES(dshares, r, t)[i] * PART(x, r, t, 0)[d];
            memcpy(PART(dx, r, i, 1), key, sizeof key);
        }
    }
}

INLINE void attention(int rows, int tokens, int width, int heads, const float *x,
                      const float *shares, float *y) {
    const int each = width / heads;
    EACH_HEAD for (int t = 0; t < tokens; t++) {
        float mixed[each];
        for (int d = 0; d < each; d++) mixed[d] = 0;
        for (int i = 0; i < tokens; i++)
            for (int d = 0; d < each; d++)
                mixed[d] += SHARES(shares, r, t)[i] * PART(x, r, i, 2)[d];
        memcpy(y + (r * tokens + t) * PAD(width) + h * each, mixed, sizeof mixed);
    }
}

INLINE void attention_backward(int rows, int tokens, int width, int heads, const float *x,
                               const float *shares, const float *dy, float *dshares, float *dx) {
    const int each = width / heads;
    float values[each * PAD(tokens)];
    EACH_HEAD {
        across(tokens, each, PART(x, r, 0, 2), PAD(3 * width), values);
        for (int t = 0; t < tokens; t++) {
            const float *d = dy + (r * tokens + t) * PAD(width) + h * each;
            for (int i = 0; i < PAD(tokens); i += LANES) {
                vec v = zero();
                for (int k = 0; k < each; k++) v += d[k] * load(values + k * PAD(tokens) + i);
                store(SHARES(dshares, r, t) + i, v);
            }
        }
        for (int i = 0; i < tokens; i++) {
            float value[each];
            for (int d = 0; d < each; d++) value[d] = 0;
            for (int t = 0; t < tokens; t++)
                for (int d = 0; d < each; d++)
                    value[d] += SHARES(shares, r, t)[i] *
                                dy[(r * tokens + t) * PAD(width) + h * each + d];
            memcpy(PART(dx, r, i, 2), value, sizeof value);
        }
    }
}
