"""The report's words in English and in Chinese, whose headings are those of the test report it started from."""

import dataclasses
from typing import Literal

Language = Literal["en", "zh"]


@dataclasses.dataclass(frozen=True)
class Texts:
    """Every text of the report; braces are filled in."""

    lang: str
    title: str
    data: str
    baseline: str
    task: str
    backbone: str
    loss: str
    epochs: str
    states: str
    unfinished: str
    losses: str
    what_original_means: str
    table_head: tuple[str, str, str, str, str]
    mean_face: str
    same_as_mse: str
    metrics: str
    metrics_note: str
    seeds: str
    seeds_note: str
    errors: str
    split_note: str
    ced: str
    points: str
    parts: str
    traits: str
    curves: str
    faces: str
    worst: str
    random: str
    no_faces: str
    jitter: str
    jitter_note: str
    sigma: str
    sigma_note: str
    cost: str
    cost_head: tuple[str, str, str, str, str]
    cost_note: str
    provenance: str
    configs: str
    audit: str
    audit_drawn: str
    audit_missing: str
    audit_head: tuple[str, str, str]
    audit_kinds: tuple[str, str, str]
    audit_clean: str
    verdict: str
    verdict_fails: str
    compare: str
    compare_note: str
    close: str
    terms: str


EN = Texts(
    lang="en",
    title="Face alignment test report{size}",
    data="Data set: {data}, {points} facial landmarks",
    baseline="Baseline model: ResNet",
    task="Task: regression",
    backbone="Backbone: `resnet` ({depths}), output layer of 2 * {points} units",
    loss="Loss: mse (l2), mae (l1), smooth_l1",
    epochs="Epochs: {epochs}",
    states="{done} of {all} cells are done{rest}.",
    unfinished="Not done",
    losses="Comparison of losses",
    what_original_means=(
        "What the original's figures mean: always predicting the mean face gives mse 0.0027, mae 0.0385 and smooth_l1 "
        "0.0013 in its convention (measured on 504 faces), so its cells are no better than a constant."
    ),
    table_head=("backbone", "best loss", "NME [%]", "original's best loss", "test"),
    mean_face="mean face",
    same_as_mse="With errors below 1, smooth_l1 with beta 1 is exactly half of mse.",
    metrics="Metrics of every split",
    metrics_note=(
        "NME is the mean distance over the {points} points divided by that of the outer eye corners; FR@8 the share "
        "of faces above 8 %, AUC@8 the area under the cumulative error curve up to 8 %; all in per cent."
    ),
    seeds="Seeds",
    seeds_note="Mean NME on {split} and its 95 % interval (Student's t) over seeds.",
    errors="Where the errors are",
    split_note="Everything below is on {split} ({faces} faces); the best cell is chosen on validation.",
    ced="Cumulative error distribution of all cells",
    points="Error of each point of {cell}, drawn on the mean face",
    parts="Error of each part of the face, best cell of each backbone",
    traits="Error against pose, face size and sharpness, best cell of each backbone, six groups of equal number",
    curves="Training and validation curves",
    faces="Faces of {cell}",
    worst="The 24 faces with the largest errors",
    random="faces at random",
    no_faces="No images of these faces: {reason}",
    jitter="Error against the box",
    jitter_note="The same faces with the box moved or scaled at random, {cell}",
    sigma="Sigma of {cell}",
    sigma_note=(
        "Circles that should hold 68 and 95 % of the points hold {plain} as sigma is learnt and {scaled} with the one "
        "factor {scale} that is fitted on validation and kept in the checkpoint."
    ),
    cost="Cost",
    cost_head=("cell", "parameters", "GFLOP a face", "images/s", "time"),
    cost_note=(
        "GFLOP of a face in training: three times the forward pass, as XLA counts plain convolutions. Images/s of "
        "training, time with validation."
    ),
    provenance="Provenance",
    configs="Fields of the config that are not at their defaults, and the hash of all of them",
    audit="Data",
    audit_drawn="The faces are drawn by flaxmark; there are no files to look at.",
    audit_missing="The data set is not here: {reason}",
    audit_head=("subset", "faces", "expected"),
    audit_kinds=("finding", "number", "first"),
    audit_clean="Nothing else was found.",
    verdict="Every finished cell has less than half the mean face's NME and a quarter of its mse on validation.",
    verdict_fails=(
        "**{count} of {all} finished cells miss the bound of half the mean face's NME and a quarter of its mse on "
        "validation:** {cells}."
    ),
    compare="Side by side",
    compare_note="The same faces in two cells",
    close="close",
    terms="The training faces may be used: {terms}.",
)

ZH = Texts(
    lang="zh",
    title="面部关键点对齐任务测试报告{size}",
    data="数据集：{data}，{points}个面部关键点",
    baseline="基线模型——ResNet",
    task="任务类别：回归",
    backbone="backbone模型：`resnet`（{depths}），输出fc层`out_features = 2 * {points}`",
    loss="loss：mse（l2）、mae（l1）、smooth_l1",
    epochs="epoches：{epochs}",
    states="共{all}个单元，已完成{done}个{rest}。",
    unfinished="未完成",
    losses="损失函数测试",
    what_original_means=(
        "原报告数字的含义：在其约定下，始终预测平均脸即得mse 0.0027、mae 0.0385、smooth_l1 0.0013（504张脸实测），"
        "因此原报告各单元并不优于一个常数。"
    ),
    table_head=("backbone", "best loss", "NME [%]", "原报告best loss", "test"),
    mean_face="平均脸",
    same_as_mse="误差小于1时，beta为1的smooth_l1恰为mse的一半。",
    metrics="各划分的指标",
    metrics_note=(
        "NME为{points}个点的平均距离除以两外眼角的距离；FR@8为误差超过8 %的脸所占比例，"
        "AUC@8为累积误差曲线在8 %以内的面积；单位均为百分之一。"
    ),
    seeds="随机种子",
    seeds_note="{split}上NME对各种子的均值及95 %区间（学生t分布）。",
    errors="误差分布",
    split_note="以下均在{split}（{faces}张脸）上测得；最佳单元由validation选出。",
    ced="所有单元的累积误差分布",
    points="{cell}各点的误差，画在平均脸上",
    parts="面部各部位的误差，每个backbone的最佳单元",
    traits="误差与姿态、脸的大小、清晰度的关系，每个backbone的最佳单元，六个等量分组",
    curves="训练与验证曲线",
    faces="{cell}的测试图",
    worst="误差最大的24张脸",
    random="随机24张脸",
    no_faces="没有这些脸的图片：{reason}",
    jitter="误差与人脸框的关系",
    jitter_note="同样的脸，人脸框随机平移或缩放，{cell}",
    sigma="{cell}的sigma",
    sigma_note=(
        "应包含68 %和95 %的点的圆，按学得的sigma实际包含{plain}，"
        "乘以在validation上拟合并存于检查点的系数{scale}后为{scaled}。"
    ),
    cost="开销",
    cost_head=("单元", "参数量", "每张脸GFLOP", "张/秒", "用时"),
    cost_note="训练时每张脸的GFLOP：前向的三倍，按XLA对普通卷积的计数。张/秒指训练，用时含验证。",
    provenance="来源",
    configs="配置中不同于默认值的字段，以及全部字段的哈希",
    audit="数据",
    audit_drawn="人脸由flaxmark绘制，没有可检查的文件。",
    audit_missing="此处没有数据集：{reason}",
    audit_head=("子集", "脸数", "应有"),
    audit_kinds=("发现", "数量", "首例"),
    audit_clean="未发现其他问题。",
    verdict="在validation上，每个已完成单元的NME都低于平均脸的一半，mse都低于其四分之一。",
    verdict_fails="**{all}个已完成单元中有{count}个未达到NME低于平均脸一半且mse低于其四分之一（validation）：**{cells}。",
    compare="并排比较",
    compare_note="两个单元在相同的脸上",
    close="关闭",
    terms="训练用脸的使用条款：{terms}。",
)

TEXTS: dict[Language, Texts] = {"en": EN, "zh": ZH}

# Formula of a loss as LaTeX, for Markdown, and in plain characters, for a page without network.
FORMULAS: dict[str, tuple[str, str]] = {
    "mse": (
        r"\ell(x, y) = \frac{1}{N} \sum_{n} l_{n}, \quad l_{n} = (x_{n} - y_{n})^2",
        "ℓ(x, y) = 1/N Σ lₙ,  lₙ = (xₙ − yₙ)²",
    ),
    "mae": (
        r"\ell(x, y) = \frac{1}{N} \sum_{n} l_{n}, \quad l_{n} = |x_{n} - y_{n}|",
        "ℓ(x, y) = 1/N Σ lₙ,  lₙ = |xₙ − yₙ|",
    ),
    "smooth_l1": (
        r"\ell(x, y) = \frac{1}{N} \sum_{n} l_{n}, \quad l_{n} = \begin{cases} 0.5 (x_{n} - y_{n})^2, & \text{if } "
        r"|x_{n} - y_{n}| < 1 \\ |x_{n} - y_{n}| - 0.5, & \text{otherwise} \end{cases}",
        "ℓ(x, y) = 1/N Σ lₙ,  lₙ = 0.5 (xₙ − yₙ)² if |xₙ − yₙ| < 1, else |xₙ − yₙ| − 0.5",
    ),
    "wing": (
        r"\ell(x, y) = \frac{1}{N} \sum_{n} l_{n}, \quad l_{n} = \begin{cases} 10 \ln(1 + |x_{n} - y_{n}| / 2), & "
        r"\text{if } |x_{n} - y_{n}| < 10 \\ |x_{n} - y_{n}| - 10 + 10 \ln 6, & \text{otherwise} \end{cases}",
        "ℓ(x, y) = 1/N Σ lₙ,  lₙ = 10 ln(1 + |xₙ − yₙ| / 2) if |xₙ − yₙ| < 10, else |xₙ − yₙ| − 10 + 10 ln 6;  pixels",
    ),
    "soft_wing": (
        r"\ell(x, y) = \frac{1}{N} \sum_{n} l_{n}, \quad l_{n} = \begin{cases} |x_{n} - y_{n}|, & \text{if } "
        r"|x_{n} - y_{n}| < 2 \\ 20 \ln(1 + 2 |x_{n} - y_{n}|) + 2 - 20 \ln 5, & \text{otherwise} \end{cases}",
        "ℓ(x, y) = 1/N Σ lₙ,  lₙ = |xₙ − yₙ| if |xₙ − yₙ| < 2, else 20 ln(1 + 2 |xₙ − yₙ|) + 2 − 20 ln 5;  pixels",
    ),
    "log_cosh": (
        r"\ell(x, y) = \frac{1}{N} \sum_{n} \ln \cosh(x_{n} - y_{n})",
        "ℓ(x, y) = 1/N Σ ln cosh(xₙ − yₙ);  pixels",
    ),
    "nll": (
        r"\ell(x, y) = \frac{1}{N} \sum_{n} \frac{(x_{n} - y_{n})^2}{2 \sigma_n^2} + \ln \sigma_n "
        r"+ \frac{\ln 2 \pi}{2}",
        "ℓ(x, y) = 1/N Σ (xₙ − yₙ)² / (2 σₙ²) + ln σₙ + ln(2π) / 2",
    ),
    "smooth_l1_0.02": (
        r"\ell(x, y) = \frac{1}{N} \sum_{n} l_{n}, \quad l_{n} = \begin{cases} (x_{n} - y_{n})^2 / 0.04, & \text{if } "
        r"|x_{n} - y_{n}| < 0.02 \\ |x_{n} - y_{n}| - 0.01, & \text{otherwise} \end{cases}",
        "ℓ(x, y) = 1/N Σ lₙ,  lₙ = (xₙ − yₙ)² / 0.04 if |xₙ − yₙ| < 0.02, else |xₙ − yₙ| − 0.01",
    ),
}
