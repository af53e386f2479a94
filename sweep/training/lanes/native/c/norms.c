/* Layers that take a mean off and divide by a deviation: of a row's features, or of a feature over
 * the rows and places of a batch. */

INLINE void layer_norm(int rows, int features, float eps, const float *x, const float *weight,
                       const float *bias, float *normal, float *inverse, float *y) {
    for (int r = 0; r < rows; r++) {
        const int at = r * PAD(features);
        vec sums = zero(), squares = zero();
        for (int i = 0; i < PAD(features); i += LANES) sums += load(x + at + i);
        const float mean = sum(sums) / features;
        for (int i = 0; i < PAD(features); i += LANES) {
            vec off = choose(before(features, i), load(x + at + i) - mean, zero());
            squares += off * off;
        }
        inverse[r] = 1 / sqrtf(sum(squares) / features + eps);
        for (int i = 0; i < PAD(features); i += LANES) {
            vec n = choose(before(features, i), (load(x + at + i) - mean) * inverse[r], zero());
            store(normal + at + i, n);
            if (weight) n *= load(weight + i);
            store(y + at + i, bias ? n + load(bias + i) : n);
        }
    }
}

INLINE void layer_norm_backward(int rows, int features, const float *weight, const float *normal,
                                const float *inverse, const float *dy, float *dx, float *dweight,
                                float *dbias) {
    for (int i = 0; i < PAD(features); i += LANES) {
        SUM_OF_ROWS(biases, load(dy + r * PAD(features) + i))
        SUM_OF_ROWS(weights,
                    load(dy + r * PAD(features) + i) * load(normal + r * PAD(features) + i))
        if (dweight) store(dweight + i, load(dweight + i) + weights);
        if (dbias) store(dbias + i, load(dbias + i) + biases);
    }
    for (int r = 0; dx && r < rows; r++) {
        const int at = r * PAD(features);
        vec sums = zero(), along = zero();
        for (int i = 0; i < PAD(features); i += LANES) {
            vec g = load(dy + at + i);
            if (weight) g *= load(weight + i);
            sums += g;
            along += g * load(normal + at + i);
        }
        const float mean = sum(sums) / features, product = sum(along) / features;
        for (int i = 0; i < PAD(features); i += LANES) {
            vec g = load(dy + at + i);
            if (weight) g *= load(weight + i);
            vec d = (g - mean - load(normal + at + i) * product) * inverse[r];
            store(dx + at + i, choose(before(features, i), d, zero()));
        }
    }
}

/* Statistics are six rows of features: the running mean and variance, the mean and 1 / deviation
 * that x is made normal by, and what of a gradient is not passed on: a level, and a slope along x.
 * A running variance is that of all rows there could be, n / (n - 1) times the batch's. */
INLINE void batch_statistics(int rows, int features, const float *x, float *statistics, float eps,
                             float momentum, int training) {
    for (int i = 0; i < PAD(features); i += LANES) {
        float *s = statistics + i;
        vec mean = load(s), variance = load(s + PAD(features));
        if (training) {
            SUM_OF_ROWS(sums, load(x + r * PAD(features) + i))
            const vec own = sums / (float)rows;
            SUM_OF_ROWS(squares, (load(x + r * PAD(features) + i) - own) *
                                     (load(x + r * PAD(features) + i) - own))
            const vec unbiased = squares / (float)(rows - 1);
            store(s, (1 - momentum) * mean + momentum * own);
            store(s + PAD(features), (1 - momentum) * variance + momentum * unbiased);
            mean = own, variance = squares / (float)rows;
        }
        vec inverse;
        for (int j = 0; j < LANES; j++) inverse[j] = 1 / sqrtf(variance[j] + eps);
        store(s + 2 * PAD(features), mean);
        store(s + 3 * PAD(features), inverse);
    }
}

INLINE void batch_norm(int rows, int features, const float *x, const float *statistics,
                       const float *weight, const float *bias, float *y) {
    const float *means = statistics + 2 * PAD(features), *inverses = means + PAD(features);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < PAD(features); i += LANES) {
            const int at = r * PAD(features) + i;
            vec v = (load(x + at) - load(means + i)) * load(inverses + i);
            if (weight) v *= load(weight + i);
            store(y + at, bias ? v + load(bias + i) : v);
        }
}

INLINE void batch_gradients(int rows, int features, const float *x, float *statistics,
                            const float *dy, float *dweight, float *dbias) {
    for (int i = 0; i < PAD(features); i += LANES) {
        float *s = statistics + i;
        const vec mean = load(s + 2 * PAD(features)), inverse = load(s + 3 * PAD(features));
        SUM_OF_ROWS(sums, load(dy + r * PAD(features) + i))
        SUM_OF_ROWS(along, load(dy + r * PAD(features) + i) *
                               ((load(x + r * PAD(features) + i) - mean) * inverse))
        if (dweight) store(dweight + i, load(dweight + i) + along);
        if (dbias) store(dbias + i, load(dbias + i) + sums);
        store(s + 4 * PAD(features), sums / (float)rows);
        store(s + 5 * PAD(features), along * inverse / (float)rows);
    }
}

INLINE void batch_norm_backward(int rows, int features, const float *x, const float *statistics,
                                const float *weight, const float *dy, float *dx) {
    const float *means = statistics + 2 * PAD(features), *inverses = means + PAD(features);
    const float *levels = inverses + PAD(features), *slopes = levels + PAD(features);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < PAD(features); i += LANES) {
            const int at = r * PAD(features) + i;
            vec off = load(x + at) - load(means + i);
            vec d = (load(dy + at) - load(levels + i) - off * load(slopes + i)) * load(inverses + i);
            store(dx + at, weight ? d * load(weight + i) : d);
        }
}
