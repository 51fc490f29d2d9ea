"""The equations of every cell by its name; `fastrnn.reference.sequence` says what the files hold."""

from fastrnn.reference import (
    gru,
    gru_before,
    gru_general,
    indrnn,
    lstm,
    lstm_general,
    mgu,
    mingru,
    minlstm,
    rnn,
    rnn_general,
)

EQUATIONS = {
    "rnn": rnn,
    "rnn_general": rnn_general,
    "lstm": lstm,
    "lstm_general": lstm_general,
    "gru": gru,
    "gru_before": gru_before,
    "gru_general": gru_general,
    "mgu": mgu,
    "indrnn": indrnn,
    "mingru": mingru,
    "minlstm": minlstm,
}
