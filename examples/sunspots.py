"""How many sunspots will there be next year? A GRU beside an autoregression, on the years 1700 to 2008.

Both learn from the years until 1955 and forecast each of 1956 to 2008 from the years before it. The order of
the autoregression is chosen by Akaike's criterion (AIC), and it is fitted to the numbers and to their square
roots, in which large maxima vary no more than small ones. The GRU, the mean of five seeds, sees the square
roots; its sizes were chosen on the years 1921 to 1955, after training until 1920.

Needs statsmodels, for its data and its autoregression: ``pip install statsmodels``.
"""

import numpy as np

try:
    from statsmodels.datasets import sunspots
    from statsmodels.tsa.ar_model import AutoReg, ar_select_order
except ImportError:
    raise SystemExit("this example needs statsmodels: pip install statsmodels") from None

from fastrnn.models import SequenceRegressor

data = sunspots.load_pandas().data
spots = data["SUNACTIVITY"].to_numpy()
FIRST = int(np.searchsorted(data["YEAR"], 1956))  # to forecast


def error(forecasts):
    """Return the root of the mean squared error, in sunspots."""
    return np.sqrt(np.mean((forecasts - spots[FIRST:]) ** 2))


def autoregression(series):
    """Return the order, and the forecasts of an autoregression that was fitted once, to the first years."""
    order = max(ar_select_order(series[:FIRST], 20, ic="aic").ar_lags)
    constant, *weights = AutoReg(series[:FIRST], order).fit().params
    past = [series[t - order : t][::-1] for t in range(FIRST, len(series))]  # the last year first
    return order, constant + past @ np.array(weights)


def gru(series, seed):
    model = SequenceRegressor(horizon=1, window=24, hidden_size=32, seed=seed).fit([series[:FIRST]])
    return model.predict([series[:t] for t in range(FIRST, len(series))])[:, 0]


roots = np.sqrt(spots)
order, plain = autoregression(spots)
order_of_roots, of_roots = autoregression(roots)
forecasts = np.mean([gru(roots, seed) for seed in range(5)], axis=0)

errors = {
    "the last year again": error(spots[FIRST - 1 : -1]),
    f"autoregression of order {order}": error(plain),
    f"autoregression of order {order_of_roots}, square roots": error(of_roots**2),
    "GRU, square roots": error(forecasts**2),
}
print(f"error (RMSE) of {len(forecasts)} forecasts of the next year, {data['YEAR'].iloc[FIRST]:.0f} to 2008")
for name, value in errors.items():
    print(f"  {name:<45} {value:5.1f}")
assert min(errors, key=errors.get) == "GRU, square roots"
