/* activations_tmpl.c - the activations of activations.def and their slopes, as fastrnn/reference/activations.py defines
 * them, operation by operation. Not inline: a cell has several, and each holds all functions. */

#undef FR_SOFTSIGN_HIGH
#define FR_SOFTSIGN_HIGH (T)0x1p60

static __attribute__((noinline)) V FN(activate)(const fr_activation *f, V z)
{
    const V alpha = vset((T)f->alpha), beta = vset((T)f->beta);
    V y;
    switch ((fr_activation_kind)f->kind) {
    case FR_ACTIVATION_sigmoid: return FN(sigmoid)(z);
    case FR_ACTIVATION_tanh: return FN(tanh)(z);
    case FR_ACTIVATION_relu: return vlt(z, vset(0), vset(0), z);
    case FR_ACTIVATION_affine: return vfma(alpha, z, beta);
    case FR_ACTIVATION_leaky_relu: return vlt(z, vset(0), alpha * z, z);
    case FR_ACTIVATION_thresholded_relu: return vle(z, alpha, vset(0), z);
    case FR_ACTIVATION_scaled_tanh: return alpha * FN(tanh)(beta * z);
    case FR_ACTIVATION_hard_sigmoid: return vmin(vset(1), vmax(vset(0), vfma(alpha, z, beta)));
    case FR_ACTIVATION_elu: return vlt(z, vset(0), alpha * FN(elu)(z), z);
    case FR_ACTIVATION_softsign:
        y = vmin(vset(FR_SOFTSIGN_HIGH), vabs(z));
        return vcopysign(y / (vset(1) + y), z);
    case FR_ACTIVATION_softplus: return FN(softplus)(z);
    case FR_ACTIVATIONS: break;
    }
    __builtin_unreachable();
}

static __attribute__((noinline)) V FN(slope)(const fr_activation *f, V z, V value)
{
    const V alpha = vset((T)f->alpha), beta = vset((T)f->beta);
    V t;
    switch ((fr_activation_kind)f->kind) {
    case FR_ACTIVATION_sigmoid: return vfma(-value, value, value);
    case FR_ACTIVATION_tanh: return vfma(-value, value, vset(1));
    case FR_ACTIVATION_relu: return vle(z, vset(0), vset(0), vset(1));
    case FR_ACTIVATION_affine: return alpha;
    case FR_ACTIVATION_leaky_relu: return vle(z, vset(0), alpha, vset(1));
    case FR_ACTIVATION_thresholded_relu: return vle(z, alpha, vset(0), vset(1));
    case FR_ACTIVATION_scaled_tanh:
        t = FN(tanh)(beta * z);
        return alpha * (beta * vfma(-t, t, vset(1)));
    case FR_ACTIVATION_hard_sigmoid: return vle(value, vset(0), vset(0), vle(vset(1), value, vset(0), alpha));
    case FR_ACTIVATION_elu: return vle(z, vset(0), alpha * FN(exp)(z), vset(1));
    case FR_ACTIVATION_softsign:
        t = vset(1) / (vset(1) + vabs(z));
        return t * t;
    case FR_ACTIVATION_softplus: return FN(sigmoid)(z);
    case FR_ACTIVATIONS: break;
    }
    __builtin_unreachable();
}
