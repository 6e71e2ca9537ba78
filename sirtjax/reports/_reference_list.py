"""Full references of the publications that protocols, checks and methods cite in short."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One publication.

    Attributes:
      short: abbreviation by which reports cite it.
      full: authors, title, place and address.
      doi: digital object identifier; empty without one.
      pattern: regular expression of its citations without DOI; empty if it is only cited by DOI.
    """

    short: str
    full: str
    doi: str = ""
    pattern: str = ""

    def cited_in(self, text: str) -> bool:
        """Returns whether a text cites the publication, by its DOI or its abbreviation."""
        by_doi = bool(self.doi) and self.doi.lower() in text.lower()
        return by_doi or (bool(self.pattern) and re.search(self.pattern, text) is not None)


def _article(short: str, full: str, doi: str = "", pattern: str = "") -> Reference:
    return Reference(short, f"{full} doi:{doi}" if doi else full, doi, pattern)


REFERENCES: tuple[Reference, ...] = (
    _article(
        "Allred 2018",
        "Allred JD, Niedbala J, Mikell JK, Owen D, Frey KA, Dewaraja YK. The value of 99mTc-MAA SPECT/CT for lung "
        "shunt estimation in 90Y radioembolization: a phantom and patient study. EJNMMI Res 2018;8:50.",
        "10.1186/s13550-018-0402-8",
        r"\bAllred\b",
    ),
    _article(
        "Bastiaannet",
        "Bastiaannet R, van der Velden S, Lam MGEH, Viergever MA, de Jong HWAM. Fast and accurate quantitative "
        "determination of the lung shunt fraction in hepatic radioembolization. "
        "https://pure.johnshopkins.edu/en/publications/fast-and-accurate-quantitative-determination-of-the-lung-shunt-fr",
        pattern=r"\bBastiaannet\b",
    ),
    _article(
        "Chiesa 2021, EANM standard operational procedure",
        "Chiesa C, Sjogreen-Gleisner K, Walrand S, et al. EANM dosimetry committee series on standard operational "
        "procedures: a unified methodology for 99mTc-MAA pre- and 90Y peri-therapy dosimetry in liver "
        "radioembolization with 90Y microspheres. EJNMMI Phys 2021;8:77.",
        "10.1186/s40658-021-00394-3",
    ),
    _article(
        "Dale 1985",
        "Dale RG. The application of the linear-quadratic dose-effect equation to fractionated and protracted "
        "radiotherapy. Br J Radiol 1985;58:515-528.",
        "10.1259/0007-1285-58-690-515",
    ),
    _article(
        "d'Andrea 2024",
        "d'Andrea E, Lanconelli N, Cremonesi M, Patera V, Pacilio M. The essential role of Monte Carlo simulations for "
        "lung dosimetry in liver radioembolization with 90Y microspheres. Appl Sci 2024;14(17):7684.",
        "10.3390/app14177684",
        r"d'Andrea et al\.",
    ),
    _article(
        "Dewaraja 2020",
        "Dewaraja YK, Devasia T, Kaza RK, et al. Prediction of tumor control in 90Y radioembolization by logit models "
        "with PET/CT-based dose metrics. J Nucl Med 2020;61:104-111. https://jnm.snmjournals.org/content/61/1/104",
        pattern=r"\bDewaraja\b",
    ),
    _article(
        "DOSISPHERE-01 (Garin 2021)",
        "Garin E, Tselikas L, Guiu B, et al. Personalised versus standard dosimetry approach of selective internal "
        "radiation therapy in patients with locally advanced hepatocellular carcinoma (DOSISPHERE-01): a randomised, "
        "multicentre, open-label phase 2 trial. Lancet Gastroenterol Hepatol 2021;6:17-29.",
        pattern=r"DOSISPHERE|\bGarin\b",
    ),
    _article(
        "EANM guideline 2022 (Weber)",
        "Weber M, Lam M, Chiesa C, Konijnenberg M, Cremonesi M, Flamen P, et al. EANM procedure guideline for the "
        "treatment of liver cancer and liver metastases with intra-arterial radioactive compounds. "
        "Eur J Nucl Med Mol Imaging 2022;49:1682-1699.",
        "10.1007/s00259-021-05600-z",
        r"EANM (procedure )?guideline 2022",
    ),
    _article(
        "EANM position paper 2021 (Konijnenberg)",
        "Konijnenberg M, Herrmann K, Kobe C, et al. EANM position paper on article 56 of the Council Directive "
        "2013/59/Euratom (basic safety standards) for nuclear medicine therapy. "
        "Eur J Nucl Med Mol Imaging 2021;48:67-72.",
        "10.1007/s00259-020-05038-9",
    ),
    _article(
        "Graves 2019",
        "Graves SA, Flynn RT, Hyer DE. Dose point kernels for 2,174 radionuclides. Med Phys 2019;46:5284-5293.",
        "10.1002/mp.13789",
    ),
    _article(
        "ICRP 107",
        "ICRP. Nuclear decay data for dosimetric calculations. ICRP Publication 107. Ann ICRP 2008;38(3).",
        pattern=r"ICRP Publication 107|ICRP 107",
    ),
    _article(
        "Johnson 2015 (ALBI)",
        "Johnson PJ, Berhane S, Kagebayashi C, et al. Assessment of liver function in patients with hepatocellular "
        "carcinoma: a new evidence-based approach - the ALBI grade. J Clin Oncol 2015;33:550-558.",
        "10.1200/JCO.2014.57.9151",
    ),
    _article(
        "Kao 2014",
        "Kao YH, Magsombol BM, Toh Y, et al. Personalized predictive lung dosimetry by technetium-99m macroaggregated "
        "albumin SPECT/CT for yttrium-90 radioembolization. EJNMMI Res 2014;4:33.",
        "10.1186/s13550-014-0033-7",
        r"Kao et al\.",
    ),
    _article(
        "Peltenburg 2024",
        "Peltenburg JE, Hosni A, Bahij R, et al. Interobserver variation in tumor delineation of liver metastases "
        "using magnetic resonance imaging. 2024. "
        "https://researchinformation.umcutrecht.nl/en/publications/interobserver-variation-in-tumor-delineation-of-liver-metastases-",
        pattern=r"\bPeltenburg\b",
    ),
    _article(
        "Pugh 1973 (Child-Pugh)",
        "Pugh RNH, Murray-Lyon IM, Dawson JL, Pietroni MC, Williams R. Transection of the oesophagus for bleeding "
        "oesophageal varices. Br J Surg 1973;60:646-649.",
        "10.1002/bjs.1800600817",
    ),
    _article(
        "Taranis",
        "Demir B. Taranis, extension of 3D Slicer for the dosimetry of radioembolisation, software. Its samples: "
        "https://github.com/4burakfe/SlicerRadioembolizationDosimetry_SampleImages",
        pattern=r"\bTaranis\b",
    ),
    _article(
        "thesis on image analysis for SIRT",
        "Tang X. Doctoral thesis on image analysis for SIRT. Its chapter 3: Tang X, Jafargholi Rangraz E, Coudyzer W, "
        "et al. Whole liver segmentation based on deep learning and manual adjustment for clinical use in SIRT. "
        "Eur J Nucl Med Mol Imaging 2020;47:2742-2752.",
        "10.1007/s00259-020-04800-3",
        r"\bthesis (on image analysis|Eq\.|section)",
    ),
    _article(
        "van Roekel, thesis Utrecht",
        "van Roekel C. Doctoral thesis on 166Ho radioembolisation, Utrecht University. "
        "https://publicatie-online.nl/uploaded/flipbook/143091-Caren-van-Roekel/10",
        pattern=r"\bvan Roekel\b",
    ),
    _article(
        "Walrand 2014",
        "Walrand S, Hesse M, Jamar F, Lhommel R. A hepatic dose-toxicity model opening the way toward individualized "
        "radioembolization planning. J Nucl Med 2014;55:1317-1322.",
        "10.2967/jnumed.113.135301",
    ),
    _article(
        "Willowson 2015 (QUEST)",
        "Willowson KP, Tapner M, QUEST Investigator Team, Bailey DL. A multicentre comparison of quantitative 90Y "
        "PET/CT for dosimetric purposes after radioembolization with resin microspheres: the QUEST phantom study. "
        "Eur J Nucl Med Mol Imaging 2015;42:1202-1222.",
        "10.1007/s00259-015-3059-9",
    ),
)
