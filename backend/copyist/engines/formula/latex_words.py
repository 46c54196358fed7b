"""What the commands of LaTeX mean to ``latex``: which are one and the same, which are not seen, which take arguments.

Two spellings become one when they look alike once they are written by hand. So fonts, sizes, spaces and the lengths of
arrows go, as they do in the normalised labels of MathWriting (arXiv 2404.10690); blackboard letters stay.
"""

from __future__ import annotations

from types import MappingProxyType


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SAME = {
    "<": r"\lt",
    ">": r"\gt",
    "[": r"\lbrack",
    "]": r"\rbrack",
    "(": r"\lgroup",
    ")": r"\rgroup",
    "|": r"\vert \mid \lvert \rvert",
    "*": r"\ast ∗",
    ":": r"\colon",
    "-": "− –",
    r"\{": r"\lbrace",
    r"\}": r"\rbrace",
    r"\|": r"\Vert \parallel \lVert \rVert ∥",
    r"\%": "%",
    r"\&": r"\And",
    r"\#": "#",
    "_": r"\sb",
    "^": r"\sp",
    r"\leq": r"\le \leqslant \leqq ≤",
    r"\geq": r"\ge \geqslant \geqq ≥",
    r"\neq": r"\ne ≠",
    r"\approx": r"\thickapprox ≈",
    r"\sim": r"\thicksim",
    r"\equiv": "≡",
    r"\propto": r"\varpropto",
    r"\leftarrow": r"\gets \longleftarrow ←",
    r"\rightarrow": r"\to \longrightarrow →",
    r"\leftrightarrow": r"\longleftrightarrow",
    r"\Leftarrow": r"\Longleftarrow \impliedby",
    r"\Rightarrow": r"\Longrightarrow \implies ⇒",
    r"\Leftrightarrow": r"\Longleftrightarrow \iff ⇔",
    r"\mapsto": r"\longmapsto",
    r"\times": "×",
    r"\div": "÷",
    r"\pm": "±",
    r"\mp": "∓",
    r"\cdot": r"\centerdot ⋅ ·",
    r"\ldots": r"\dots \dotsc \dotso …",
    r"\cdots": r"\dotsb \dotsm \dotsi ⋯",
    r"\backslash": r"\setminus \smallsetminus",
    r"\wedge": r"\land",
    r"\vee": r"\lor",
    r"\neg": r"\lnot",
    r"\in": "∈",
    r"\notin": "∉",
    r"\ni": r"\owns",
    r"\subset": "⊂",
    r"\subseteq": "⊆",
    r"\cup": "∪",
    r"\cap": "∩",
    r"\forall": "∀",
    r"\exists": "∃",
    r"\emptyset": r"\varnothing ∅",
    r"\infty": "∞",
    r"\partial": "∂",
    r"\nabla": "∇",
    r"\hbar": r"\hslash ℏ",
    r"\triangle": r"\bigtriangleup",
    r"\square": r"\Box \qed",
    r"\dagger": r"\dag",
    r"\ddagger": r"\ddag",
    r"\sum": "∑",
    r"\prod": "∏",
    r"\int": r"\smallint ∫",
    r"\oint": "∮",
    r"\bmod": r"\mod",
    r"\frac": r"\dfrac \tfrac",
    r"\binom": r"\dbinom \tbinom",
    r"\hat": r"\widehat",
    r"\tilde": r"\widetilde",
    r"\vec": r"\overrightarrow",
    r"\overline": r"\bar",
    r"\underline": r"\underbar",
    r"\overset": r"\stackrel",
    r"\boxed": r"\fbox",
    r"\cancel": r"\bcancel \xcancel",
    r"\mathbb": r"\Bbb",
    "'": "′ ’",
    r"\degree": "°",
    "\\\\": r"\cr \newline \tabularnewline",
    **{
        rf"\{name}": letters
        for name, letters in (
            *(("alpha", "α"), ("beta", "β"), ("gamma", "γ"), ("delta", "δ"), ("varepsilon", "ε"), ("epsilon", "ϵ")),
            *(("zeta", "ζ"), ("eta", "η"), ("theta", "θ"), ("iota", "ι"), ("kappa", "κ"), ("lambda", "λ")),
            *(("mu", "μ µ"), ("nu", "ν"), ("xi", "ξ"), ("pi", "π"), ("rho", "ρ"), ("sigma", "σ"), ("tau", "τ")),
            *(("upsilon", "υ"), ("varphi", "φ"), ("phi", "ϕ"), ("chi", "χ"), ("psi", "ψ"), ("omega", "ω")),
            *(("Gamma", "Γ"), ("Delta", "Δ ∆"), ("Theta", "Θ"), ("Lambda", "Λ"), ("Xi", "Ξ"), ("Pi", "Π")),
            *(("Sigma", "Σ"), ("Phi", "Φ"), ("Psi", "Ψ"), ("Omega", "Ω Ω")),
        )
    },
}
"""What is kept, and what becomes of it."""

SYNONYMS = MappingProxyType({other: kept for kept, others in _SAME.items() for other in others.split()})

NEGATED = MappingProxyType(
    {
        r"\nless": "<",
        r"\ngtr": ">",
        r"\nleq": r"\leq",
        r"\ngeq": r"\geq",
        r"\nsim": r"\sim",
        r"\ncong": r"\cong",
        r"\nmid": "|",
        r"\nparallel": r"\|",
        r"\nsubseteq": r"\subseteq",
        r"\nsupseteq": r"\supseteq",
        r"\nexists": r"\exists",
        r"\nRightarrow": r"\Rightarrow",
        r"\nrightarrow": r"\rightarrow",
    }
)
"""Signs with a stroke through them, as ``\\not`` and the sign; but ``\\neq`` and ``\\notin`` are kept."""
STRUCK = MappingProxyType({"=": r"\neq", r"\in": r"\notin"})

UNSEEN = _words(
    r"""
    \, \; \: \! \> \/ \- \quad \qquad \enspace \enskip \thinspace \medspace \thickspace \negthinspace \space ~
    \displaystyle \textstyle \scriptstyle \scriptscriptstyle \limits \nolimits \displaylimits
    \tiny \scriptsize \footnotesize \small \normalsize \large \Large \LARGE \huge \Huge
    \nonumber \notag \strut \mathstrut \null \relax \hfill \hfil \hline \allowbreak \nobreak \noindent \protect
    \mathop \mathrel \mathbin \mathord \mathopen \mathclose \mathpunct \mathinner \ensuremath \smash
    $ \( \) \[ \]
    """
) | {r"\ ", "\\\n", "\\\t"}
"""Dropped; what stands in braces after them is kept."""
FONTS = _words(
    r"""
    \mathrm \mathbf \mathit \mathsf \mathtt \mathnormal \mathcal \mathscr \mathfrak \mathds \boldsymbol \bm \pmb
    \mathbold \text \textrm \textbf \textit \textsf \texttt \textnormal \textup \textsc \mbox \hbox \emph
    \operatorname \operatorname* \rm \bf \it \sf \tt \sl \cal \sc \frak \scr \mit \boldmath \unboldmath
    """
)
"""Dropped too; when what stands in their braces is the name of a function, it becomes the function."""
HIDDEN = _words(
    r"""
    \phantom \hphantom \vphantom \hspace \hspace* \vspace \vspace* \label \tag \tag* \color \mspace
    \textcolor \colorbox \raisebox \cline
    """
)
"""Dropped together with the first argument in braces."""
SIDES = _words(
    r"""
    \left \right \middle
    \big \Big \bigg \Bigg \bigl \Bigl \biggl \Biggl \bigr \Bigr \biggr \Biggr \bigm \Bigm \biggm \Biggm
    """
)
"""Dropped; the sign after them is kept, but not a full stop."""
ANGLES = MappingProxyType({"<": r"\langle", ">": r"\rangle"})
"""What these signs are after one of ``SIDES``."""

FUNCTIONS = MappingProxyType(
    {
        name: rf"\{name}"
        for name in (
            *("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "arcsin", "arccos", "arctan"),
            *("log", "ln", "lg", "exp", "lim", "limsup", "liminf", "max", "min", "sup", "inf", "arg", "det", "dim"),
            *("ker", "deg", "gcd", "hom", "Pr"),
        )
    }
    | {"mod": r"\bmod"}
)

ARGUMENTS = MappingProxyType(
    {r"\frac": 2, r"\binom": 2, r"\overset": 2, r"\underset": 2, r"\sqrt": 1, r"\xrightarrow": 1, r"\xleftarrow": 1}
    | dict.fromkeys(
        _words(
            r"""
        \hat \tilde \vec \overline \underline \dot \ddot \dddot \check \breve \acute \grave \mathring \overbrace
        \underbrace \overleftarrow \overleftrightarrow \boxed \cancel \mathbb
        """
        ),
        1,
    )
)
"""How many arguments in braces stand after a command."""
OPTIONAL = frozenset((r"\sqrt", r"\xrightarrow", r"\xleftarrow"))
"""Those that may have one in brackets before."""

INFIX = MappingProxyType({r"\over": r"\frac", r"\choose": r"\binom", r"\atop": r"\substack"})
"""What stands between its two arguments in TeX's own way, and what it becomes."""

KEPT_ENVIRONMENTS = frozenset(("matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "cases"))
GRIDS = MappingProxyType(
    {name: name for name in KEPT_ENVIRONMENTS}
    | {"array": "matrix", "tabular": "matrix", "smallmatrix": "matrix", "dcases": "cases"}
)
"""Environments with cells, and what they become."""
LISTS = _words(
    """
    aligned align align* alignat alignat* alignedat split gather gather* gathered eqnarray eqnarray* multline multline*
    equation equation* displaymath math subarray
    """
)
"""Environments of lines; where ``&`` only says what stands under what. They become a matrix of one column."""
SPECIFIED = frozenset(("array", "tabular", "subarray", "alignat", "alignat*", "alignedat"))
"""Environments with an argument."""
GRID_COMMANDS = MappingProxyType(
    {r"\matrix": "matrix", r"\pmatrix": "pmatrix", r"\cases": "cases", r"\substack": r"\substack"}
)
"""Plain TeX's way to write them, and lines under a sign."""
FENCES = MappingProxyType(
    {
        "(": (")", "pmatrix"),
        "[": ("]", "bmatrix"),
        r"\{": (r"\}", "Bmatrix"),
        "|": ("|", "vmatrix"),
        r"\|": (r"\|", "Vmatrix"),
    }
)
"""What a bare matrix becomes that stands between these."""
