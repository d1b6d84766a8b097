# Draws the trust ratios of a run of LARS and one of TVLARS, from the folder that `lamina report` leaves:
#   recipe="--data fashion-mnist --model resnet8 --limit-train 10240 --epochs 8 --batch 256 --trace --lr 1 --set trust_coefficient=0.01"
#   lamina train $recipe --optimizer lars --out runs/tutorial-lars
#   lamina train $recipe --optimizer tvlars --set lambda=0.02 --set delay_epochs=3 --out runs/tutorial-tvlars
#   lamina report LARS=runs/tutorial-lars TVLARS=runs/tutorial-tvlars -o runs/tutorial.html
#   gnuplot -e "files='runs/tutorial-files'; picture='docs/tutorial/trust.svg'" docs/tutorial/trust.gp
# The ending of `picture` says the format: svg, png or pdf.

format = picture[strlen(picture) - 2 : *]
if (format eq "png") set terminal pngcairo size 1000, 360 noenhanced font "sans,11"
if (format eq "pdf") set terminal pdfcairo size 10in, 3.6in noenhanced font "sans,11"
if (format eq "svg") set terminal svg size 1000, 360 noenhanced font "sans-serif,13" background "white"
set output picture

set datafile separator ","
layers = "conv1 layer1.0.conv1 layer3.0.conv2 fc"
row(i) = word("0 1 6 7", i)  # of the file
array colour[4] = ["#d55e00", "#0072b2", "#56b4e9", "#777777"]
steps_a_column = 320 / 300.0  # a report has 300 columns at most

set border 3 lc rgb "#555555"
set tics nomirror textcolor rgb "#333333"
set grid ytics lc rgb "#dddddd" lw 1
set xlabel "step" offset 0, 0.4
set logscale y
set format y "%g"
set yrange [1e-4 : 2]
set xrange [0 : 320]
set key bottom left samplen 2 spacing 1.2
set multiplot layout 1, 2 margins 0.065, 0.985, 0.16, 0.9 spacing 0.07
do for [k = 1:2] {
  set title word("LARS TVLARS", k) . ": trust ratio"
  ratios = sprintf("< tail -n +2 %s/trust-%d.csv | cut -d, -f2-", files, k)  # without the names
  plot for [i = 1:4] ratios matrix every 2:::row(i)::row(i) \
    using (($1 + 0.5) * steps_a_column):3 with lines lw 1.5 lc rgb colour[i] title word(layers, i)
  unset key
}
unset multiplot
