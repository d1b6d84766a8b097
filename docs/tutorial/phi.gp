# Draws TVLARS' φ: gnuplot -e "picture='docs/tutorial/phi.svg'" docs/tutorial/phi.gp
# The ending of `picture` says the format: svg, png or pdf.

format = picture[strlen(picture) - 2 : *]
if (format eq "png") set terminal pngcairo size 760, 340 font "sans,11"
if (format eq "pdf") set terminal pdfcairo size 7.6in, 3.4in font "sans,11"
if (format eq "svg") set terminal svg size 760, 340 font "sans-serif,13" background "white"
set output picture

alpha = 1
gamma_min = 0.05
d_e = 400.0
phi(t, lambda) = 1 / (alpha + exp(lambda * (t - d_e))) + gamma_min

set border 3 lc rgb "#555555"
set tics nomirror textcolor rgb "#333333"
set grid ytics lc rgb "#dddddd" lw 1
set key top right samplen 2 spacing 1.3
set xlabel "step t"
set ylabel "φ_t"
set samples 500
set yrange [0 : 1.15]
set xtics 0, 200
set arrow from d_e, 0 to d_e, 1.15 nohead dt 3 lc rgb "#999999"
set label "d_e" at d_e + 10, 1.09 textcolor rgb "#555555"
set arrow from 0, gamma_min to 1000, gamma_min nohead dt 3 lc rgb "#999999"
set label "γ_{min}" at 1010, gamma_min textcolor rgb "#555555"
set rmargin 8
plot [0 : 1000] phi(x, 0.005) lc rgb "#777777" lw 2.5 title "λ = 0.005", \
  phi(x, 0.02) lc rgb "#0072b2" lw 2.5 title "λ = 0.02", \
  phi(x, 0.1) lc rgb "#d55e00" lw 2.5 title "λ = 0.1"
