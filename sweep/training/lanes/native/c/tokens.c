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

/* Attention works on LANES rows at once, one in each element of a vector, so that no head is too
 * narrow for one. Turned, the rows of a group are (tokens, features, LANES), and shares are (heads,
 * tokens that ask, tokens that are asked, LANES). There is room for rows up to a whole group. */
#define EACH_GROUP for (int r = 0; r < rows; r += LANES)
#define IN_GROUPS(rows) (((rows) + LANES - 1) / LANES * LANES)

INLINE void turn(int rows, int tokens, int features, const float *x, float *turned) {
    const int row = tokens * PAD(features);
    EACH_GROUP for (int i = 0; i < row; i += LANES)
        transpose_block(x + r * row + i, row, turned + r * row + i * LANES, LANES);
}

INLINE void turn_back(int rows, int tokens, int features, const float *turned, float *x) {
    const int row = tokens * PAD(features);
    EACH_GROUP for (int i = 0; i < row; i += LANES)
        transpose_block(turned + r * row + i * LANES, LANES, x + r * row + i, row);
}

INLINE vec product_of(int count, const float *x, const float *y) {
    vec sums = zero();
    for (int i = 0; i < count; i++) sums += load(x + i * LANES) * load(y + i * LANES);
    return sums;
}

/* sums[i] = sum over k < count of factors[k] * x[k][i], where these are so many vectors apart. */
INLINE void mix(int count, int each, const float *factors, int factors_apart, const float *x,
                int apart, float *sums) {
    for (int begin = 0; begin < each; begin += 8) {
        vec some[8];
        UNROLL for (int i = 0; i < 8; i++) some[i] = zero();
        for (int k = 0; k < count; k++) {
            const vec factor = load(factors + k * factors_apart * LANES);
            UNROLL for (int i = 0; i < 8; i++)
                if (begin + i < each)
                    some[i] += factor * load(x + (k * apart + begin + i) * LANES);
        }
        UNROLL for (int i = 0; i < 8; i++)
            if (begin + i < each) store(sums + (begin + i) * LANES, some[i]);
    }
}

/* Queries, keys and values of a token are beside each other; in a group's first token, part 0, 1 or 2
 * of head h begins here, and the next token's so many vectors later. */
#define PART(x, part) ((x) + r * tokens * PAD(3 * width) + ((part) * width + h * (width / heads)) * LANES)
#define OF_HEAD(y) ((y) + r * tokens * PAD(width) + h * (width / heads) * LANES)
#define SHARES(s) ((s) + (r * heads + h * LANES) * tokens * tokens)
#define EACH_HEAD EACH_GROUP for (int h = 0; h < heads; h++)

INLINE void attention_shares(int rows, int tokens, int width, int heads, const float *x,
                             float *shares) {
    const int each = width / heads, apart = PAD(3 * width) * LANES;
    const float scale = 1 / sqrtf(each);
    EACH_HEAD for (int t = 0; t < tokens; t++) {
        float *s = SHARES(shares) + t * tokens * LANES;
        vec most = zero() - INFINITY, sums = zero();
        for (int i = 0; i < tokens; i++) {
            vec v = product_of(each, PART(x, 0) + t * apart, PART(x, 1) + i * apart) * scale;
            store(s + i * LANES, v);
            most = choose(v > most, v, most);
        }
        for (int i = 0; i < tokens; i++) {
            vec v = exponential(load(s + i * LANES) - most);
            store(s + i * LANES, v);
            sums += v;
        }
        for (int i = 0; i < tokens; i++) store(s + i * LANES, load(s + i * LANES) / sums);
    }
}

INLINE void attention_shares_backward(int rows, int tokens, int width, int heads, const float *x,
                                      const float *shares, float *dshares, float *dx) {
    const int each = width / heads, apart = PAD(3 * width);
    const float scale = 1 / sqrtf(each);
    EACH_HEAD {
        for (int t = 0; t < tokens; t++) {
            const float *s = SHARES(shares) + t * tokens * LANES;
            float *ds = SHARES(dshares) + t * tokens * LANES;
            const vec along = product_of(tokens, s, ds);
            for (int i = 0; i < tokens * LANES; i += LANES)
                store(ds + i, load(s + i) * (load(ds + i) - along) * scale);
            mix(tokens, each, ds, 1, PART(x, 1), apart, PART(dx, 0) + t * apart * LANES);
        }
        for (int i = 0; i < tokens; i++)
            mix(tokens, each, SHARES(dshares) + i * LANES, tokens, PART(x, 0), apart,
                PART(dx, 1) + i * apart * LANES);
    }
}

INLINE void attention(int rows, int tokens, int width, int heads, const float *x,
                      const float *shares, float *y) {
    const int each = width / heads;
    EACH_HEAD for (int t = 0; t < tokens; t++)
        mix(tokens, each, SHARES(shares) + t * tokens * LANES, 1, PART(x, 2), PAD(3 * width),
            OF_HEAD(y) + t * PAD(width) * LANES);
}

INLINE void attention_backward(int rows, int tokens, int width, int heads, const float *x,
                               const float *shares, const float *dy, float *dshares, float *dx) {
    const int each = width / heads, apart = PAD(3 * width) * LANES;
    EACH_HEAD {
        for (int t = 0; t < tokens; t++)
            for (int i = 0; i < tokens; i++)
                store(SHARES(dshares) + (t * tokens + i) * LANES,
                      product_of(each, OF_HEAD(dy) + t * PAD(width) * LANES,
                                 PART(x, 2) + i * apart));
        for (int i = 0; i < tokens; i++)
            mix(tokens, each, SHARES(shares) + i * LANES, tokens, OF_HEAD(dy), PAD(width),
                PART(dx, 2) + i * apart);
    }
}

/* As `dropout`, of groups of rows that are (numbers, LANES). */
INLINE void dropout_in_groups(int rows, int numbers, int first, unsigned key, unsigned least,
                              float scale, float *x, float *mask) {
    EACH_GROUP for (int i = 0; i < numbers; i++) {
        const int at = r * numbers + i * LANES;
        const vec factor = kept(numbers, (unsigned)(first + r) * numbers + i, key, least, scale);
        store(mask + at, factor);
        store(x + at, load(x + at) * factor);
    }
}
