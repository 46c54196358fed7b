"""Formulas that everybody writes."""

from __future__ import annotations

KNOWN = tuple(
    r"""
    a^{2}+b^{2}=c^{2}
    (a+b)^{2}=a^{2}+2ab+b^{2}
    (a-b)^{2}=a^{2}-2ab+b^{2}
    a^{2}-b^{2}=(a+b)(a-b)
    (a+b)^{3}=a^{3}+3a^{2}b+3ab^{2}+b^{3}
    E=mc^{2}
    F=ma
    U=RI
    P=UI
    pV=nRT
    A=\pi r^{2}
    V=\frac{4}{3}\pi r^{3}
    C=2\pi r
    A=\frac{1}{2}gh
    y=mx+b
    y=ax^{2}+bx+c
    ax^{2}+bx+c=0
    x=\frac{-b\pm\sqrt{b^{2}-4ac}}{2a}
    x_{1,2}=\frac{-b\pm\sqrt{b^{2}-4ac}}{2a}
    x_{1,2}=-\frac{p}{2}\pm\sqrt{(\frac{p}{2})^{2}-q}
    D=b^{2}-4ac
    x^{2}+y^{2}=r^{2}
    \frac{x^{2}}{a^{2}}+\frac{y^{2}}{b^{2}}=1
    m=\frac{y_{2}-y_{1}}{x_{2}-x_{1}}
    d=\sqrt{(x_{2}-x_{1})^{2}+(y_{2}-y_{1})^{2}}
    \sin^{2} x+\cos^{2} x=1
    \tan x=\frac{\sin x}{\cos x}
    \sin 2x=2\sin x\cos x
    \cos(\alpha+\beta)=\cos\alpha\cos\beta-\sin\alpha\sin\beta
    \frac{a}{\sin\alpha}=\frac{b}{\sin\beta}
    c^{2}=a^{2}+b^{2}-2ab\cos\gamma
    e^{i\pi}+1=0
    e^{ix}=\cos x+i\sin x
    \log ab=\log a+\log b
    \log_{a}x=\frac{\ln x}{\ln a}
    \ln e=1
    \frac{a}{b}=\frac{c}{d}
    \frac{a}{b}+\frac{c}{d}=\frac{ad+bc}{bd}
    a^{m}a^{n}=a^{m+n}
    (a^{m})^{n}=a^{mn}
    a^{-n}=\frac{1}{a^{n}}
    a^{\frac{m}{n}}=\sqrt[n]{a^{m}}
    \sqrt{ab}=\sqrt{a}\sqrt{b}
    |a+b|\leq |a|+|b|
    v=\frac{s}{t}
    s=\frac{1}{2}gt^{2}
    s=v_{0}t+\frac{1}{2}at^{2}
    E=\frac{1}{2}mv^{2}
    F=G\frac{m_{1}m_{2}}{r^{2}}
    \frac{1}{f}=\frac{1}{a}+\frac{1}{b}
    \frac{1}{R}=\frac{1}{R_{1}}+\frac{1}{R_{2}}
    T=2\pi\sqrt{\frac{l}{g}}
    \omega=2\pi f
    \lambda=\frac{h}{p}
    E=h\nu
    \hat{H}\psi=E\psi
    \vec{F}=m\vec{a}
    \vec{a}\cdot\vec{b}=|\vec{a}||\vec{b}|\cos\theta
    \nabla\times\vec{B}=\mu_{0}\vec{j}
    \nabla\cdot\vec{E}=\frac{\rho}{\epsilon_{0}}
    \oint\vec{E}\cdot d\vec{A}=\frac{Q}{\epsilon_{0}}
    n!=n(n-1)!
    \binom{n}{k}=\frac{n!}{k!(n-k)!}
    \sum_{k=1}^{n}k=\frac{n(n+1)}{2}
    \sum_{k=0}^{\infty}q^{k}=\frac{1}{1-q}
    e^{x}=\sum_{n=0}^{\infty}\frac{x^{n}}{n!}
    \bar{x}=\frac{1}{n}\sum_{i=1}^{n}x_{i}
    \sigma^{2}=\frac{1}{n}\sum_{i=1}^{n}(x_{i}-\mu)^{2}
    z=\frac{x-\mu}{\sigma}
    P(A|B)=\frac{P(A\cap B)}{P(B)}
    P(A\cup B)=P(A)+P(B)-P(A\cap B)
    a_{n}=a_{1}+(n-1)d
    a_{n}=a_{1}q^{n-1}
    f^{\prime}(x)=\lim_{h\rightarrow 0}\frac{f(x+h)-f(x)}{h}
    \lim_{x\rightarrow 0}\frac{\sin x}{x}=1
    e=\lim_{n\rightarrow\infty}(1+\frac{1}{n})^{n}
    (uv)^{\prime}=u^{\prime}v+uv^{\prime}
    \int x^{n}dx=\frac{x^{n+1}}{n+1}+C
    \int_{a}^{b}f(x)dx=F(b)-F(a)
    \int_{-\infty}^{\infty}e^{-x^{2}}dx=\sqrt{\pi}
    \int\frac{1}{x}dx=\ln|x|+C
    s_{2}-s_{1}=\int_{a}^{b}v dt
    f(x)=\frac{1}{\sigma\sqrt{2\pi}}e^{-\frac{(x-\mu)^{2}}{2\sigma^{2}}}
    A\subset B\Rightarrow A\cap B=A
    x\in A\cup B\Leftrightarrow x\in A\vee x\in B
    \forall\epsilon>0\exists\delta>0
    i^{2}=-1
    z=a+bi
    |z|=\sqrt{a^{2}+b^{2}}
    1+2+\ldots+n
    a_{1}+a_{2}+\cdots+a_{n}
    x_{1},x_{2},\ldots,x_{n}
    \alpha+\beta+\gamma=180^{\circ}
    """.strip().split("\n")
)
"""LaTeX; most have letters that may as well be others."""
