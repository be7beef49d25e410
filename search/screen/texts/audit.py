"""The fidelity audit as text."""

from __future__ import annotations

from search.fidelity.audit import MIN_TRIALS, FidelityAudit, RungAgreement
from search.text import counted, number_text


def audit_lines(audit: FidelityAudit | None, *, always: bool = False) -> list[str]:
    """After an empty line, one for each rung, and the advice; nothing where there are too few trials.

    Args:
        always: also where nothing can be said but that, and without the empty line.
    """
    if audit is None or not (always or audit.says_something):
        return []
    lines = [
        *([] if always else [""]),
        "fidelity: ranks at each rung against those at full length (Spearman's correlation)",
    ]
    lines += [f"  after {_rung(audit, rung)}: {_agreement(rung)}" for rung in audit.rungs]
    advice = [f"  grace_period: {audit.grace_period}", f"  virtual epoch: {audit.virtual_epoch}"]
    return [*lines, *advice]


def _rung(audit: FidelityAudit, rung: RungAgreement) -> str:
    return counted(rung.rung, audit.axis.replace("_", " ").removesuffix("s"))


def _agreement(rung: RungAgreement) -> str:
    parts = [_correlation(rung.correlation, rung.trials, "trial")]
    if rung.audited:
        parts.append(_correlation(rung.audited_correlation, rung.audited, "audited trial"))
    if rung.lost is not None:
        lost = f"lost {number_text(rung.lost)}" if rung.lost else "lost nothing"
        parts.append(f"stopping {rung.stopped} of the audited here would have {lost}")
    return "; ".join(parts)


def _correlation(value: float | None, number: int, noun: str) -> str:
    if value is None:
        return (
            f"too few ({counted(number, noun)})"
            if number < MIN_TRIALS
            else f"equal values ({counted(number, noun)})"
        )
    return f"{value:.2f} of {counted(number, noun)}"
