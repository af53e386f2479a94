/* Convolutions and pools. Images are (rows, places, channels), the channels padded as features are,
 * and a convolution is a linear layer of what its window shows at each place, the taps in their
 * order and the channels of each beside each other. */
typedef struct {
    int channels, height, width, tall, wide, down, right, above, left, rows, columns;
} Window;

/* Tap k at place `at` of n images, where it shows the pixel at `from` if that is `inside`. */
#define EACH_TAP(n, s, BODY)                                                                      \
    for (int r = 0; r < (n); r++)                                                                 \
        for (int i = 0; i < (s).rows; i++)                                                        \
            for (int j = 0; j < (s).columns; j++) {                                               \
                const int at = (r * (s).rows + i) * (s).columns + j;                              \
                for (int k = 0; k < (s).tall * (s).wide; k++) {                                   \
                    const int row = i * (s).down + k / (s).wide - (s).above;                      \
                    const int column = j * (s).right + k % (s).wide - (s).left;                   \
                    const int inside =                                                            \
                        row >= 0 && row < (s).height && column >= 0 && column < (s).width;        \
                    const int from =                                                              \
                        ((r * (s).height + row) * (s).width + column) * PAD((s).channels);        \
                    BODY                                                                          \
                }                                                                                 \
            }

/* An image with its border of zeros and without padded channels: all that a line of a window shows
 * at a place is beside each other there, and in the same order as in what is unfolded. */
#define LINE(s) (((s).width + 2 * (s).left) * (s).channels)
#define FRAMED(s) (((s).height + 2 * (s).above) * LINE(s))
#define EACH_PIXEL(s) for (int i = 0; i < (s).height; i++) for (int j = 0; j < (s).width; j++)
#define PIXEL(s) (((r * (s).height + i) * (s).width + j) * PAD((s).channels))
#define IN_FRAME(s) ((i + (s).above) * LINE(s) + (j + (s).left) * (s).channels)
#define EACH_LINE(s)                                                                              \
    for (int i = 0; i < (s).rows; i++)                                                            \
        for (int j = 0; j < (s).columns; j++)                                                     \
            for (int k = 0; k < (s).tall; k++)
#define UNFOLDED(s)                                                                               \
    (((r * (s).rows + i) * (s).columns + j) * PAD((s).tall * (s).wide * (s).channels) +           \
     k * (s).wide * (s).channels)
#define LINE_AT(s) ((i * (s).down + k) * LINE(s) + j * (s).right * (s).channels)

INLINE void unfold(int rows, Window s, const float *x, float *u) {
    float framed[FRAMED(s)];
    memset(framed, 0, sizeof framed);
    for (int r = 0; r < rows; r++) {
        EACH_PIXEL(s) memcpy(framed + IN_FRAME(s), x + PIXEL(s), s.channels * sizeof(float));
        EACH_LINE(s)
            memcpy(u + UNFOLDED(s), framed + LINE_AT(s), s.wide * s.channels * sizeof(float));
    }
}

INLINE void fold(int rows, Window s, const float *du, float *dx) {
    float framed[FRAMED(s)];
    const int shown = s.wide * s.channels;
    for (int r = 0; r < rows; r++) {
        memset(framed, 0, sizeof framed);
        EACH_LINE(s) {
            const float *d = du + UNFOLDED(s);
            float *to = framed + LINE_AT(s);
            for (int c = 0; c < shown / LANES * LANES; c += LANES)
                store(to + c, load(to + c) + load(d + c));
            for (int c = shown / LANES * LANES; c < shown; c++) to[c] += d[c];
        }
        EACH_PIXEL(s) memcpy(dx + PIXEL(s), framed + IN_FRAME(s), s.channels * sizeof(float));
    }
}

/* The first of the greatest, and NaN if there is one, as in torch; `which` tap it is. */
INLINE void max_pool(int rows, Window s, const float *x, float *y, float *which) {
    for (int at = 0; at < rows * s.rows * s.columns * PAD(s.channels); at += LANES)
        store(y + at, zero() - INFINITY);
    EACH_TAP(rows, s, {
        if (inside) for (int c = 0; c < PAD(s.channels); c += LANES) {
            const int to = at * PAD(s.channels) + c;
            vec v = load(x + from + c);
            vec best = load(y + to);
            ints up = (v > best) | (v != v);
            store(y + to, choose(up, v, best));
            store(which + to, choose(up, zero() + (float)k, load(which + to)));
        }
    })
}

INLINE void max_pool_backward(int rows, Window s, const float *which, const float *dy, float *dx) {
    memset(dx, 0, rows * s.height * s.width * PAD(s.channels) * sizeof(float));
    EACH_TAP(rows, s, {
        if (inside) for (int c = 0; c < PAD(s.channels); c += LANES) {
            const int to = at * PAD(s.channels) + c;
            ints mine = load(which + to) == zero() + (float)k;
            store(dx + from + c, load(dx + from + c) + choose(mine, load(dy + to), zero()));
        }
    })
}

/* The padding counts as zeros, as in torch. */
INLINE void avg_pool(int rows, Window s, const float *x, float *y, float *which) {
    (void)which;
    memset(y, 0, rows * s.rows * s.columns * PAD(s.channels) * sizeof(float));
    EACH_TAP(rows, s, {
        if (inside) for (int c = 0; c < PAD(s.channels); c += LANES) {
            const int to = at * PAD(s.channels) + c;
            store(y + to, load(y + to) + load(x + from + c) / (float)(s.tall * s.wide));
        }
    })
}

INLINE void avg_pool_backward(int rows, Window s, const float *which, const float *dy, float *dx) {
    (void)which;
    memset(dx, 0, rows * s.height * s.width * PAD(s.channels) * sizeof(float));
    EACH_TAP(rows, s, {
        if (inside) for (int c = 0; c < PAD(s.channels); c += LANES) {
            vec share = load(dy + at * PAD(s.channels) + c) / (float)(s.tall * s.wide);
            store(dx + from + c, load(dx + from + c) + share);
        }
    })
}

/* Rows of images, (channels, places) as torch has them, to images as they are here, and back. */
INLINE void to_images(int rows, int places, int channels, const float *x, float *y) {
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < places; p++)
            for (int c = 0; c < channels; c++)
                y[(r * places + p) * PAD(channels) + c] =
                    x[r * PAD(channels * places) + c * places + p];
}

INLINE void from_images(int rows, int places, int channels, const float *x, float *y) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < channels; c++)
            for (int p = 0; p < places; p++)
                y[r * PAD(channels * places) + c * places + p] =
                    x[(r * places + p) * PAD(channels) + c];
}

/* The weights of a convolution, (outputs, channels, taps) as torch has them, and as they are here. */
INLINE void pack_taps(int outputs, int channels, int taps, const float *flat, float *padded) {
    for (int o = 0; o < outputs; o++)
        for (int t = 0; t < taps; t++)
            for (int c = 0; c < channels; c++)
                padded[o * PAD(taps * channels) + t * channels + c] =
                    flat[(o * channels + c) * taps + t];
}

INLINE void unpack_taps(int outputs, int channels, int taps, const float *padded, float *flat) {
    for (int o = 0; o < outputs; o++)
        for (int c = 0; c < channels; c++)
            for (int t = 0; t < taps; t++)
                flat[(o * channels + c) * taps + t] =
                    padded[o * PAD(taps * channels) + t * channels + c];
}
