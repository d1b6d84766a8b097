# Draws the runs of one scripts/quickstart:
#   gnuplot -e "runs='runs/quickstart-1'; picture='docs/quickstart.svg'" docs/quickstart.gp
# The ending of `picture` says the format: svg, png or pdf.

set datafile separator ","
format = picture[strlen(picture) - 2 : *]
if (format eq "png") set terminal pngcairo size 1100, 360 font "sans,11"
if (format eq "pdf") set terminal pdfcairo size 11in, 3.6in font "sans,11"
if (format eq "svg") set terminal svg size 1100, 360 font "sans-serif,13" background "white"
set output picture

set style line 1 lc rgb "#0072b2" lw 2.5 pt 7 ps 0.6
set style line 2 lc rgb "#d55e00" lw 2.5 pt 5 ps 0.6
set style line 3 lc rgb "#777777" lw 2.5 pt 9 ps 0.7
set border 3 lc rgb "#555555"
set tics nomirror textcolor rgb "#333333"
set grid ytics lc rgb "#dddddd" lw 1
set key bottom right samplen 2 spacing 1.3

names = "tvlars lars-warmup lars"
titles = "'TVLARS' 'LARS with warm-up' 'LARS'"
epochs(i) = sprintf("%s/%s/epochs.csv", runs, word(names, i))
steps(i) = sprintf("%s/%s/steps.csv", runs, word(names, i))

set multiplot layout 1, 3 margins 0.055, 0.965, 0.21, 0.86 spacing 0.065
set title "Test accuracy (%)"
set xlabel "epoch" offset 0, 0.4
plot for [i = 1:3] epochs(i) using (column("epoch")):(100 * column("test_accuracy")) \
  with linespoints ls i title word(titles, i)

set key off
set title "Training loss"
plot for [i = 1:3] epochs(i) using (column("epoch")):(column("train_loss")) with linespoints ls i

set title "Learning rate × φ"
set xlabel "step" offset 0, 0.4
plot for [i = 1:3] steps(i) using (column("step")):(column("lr") * column("phi")) with lines ls i
unset multiplot
